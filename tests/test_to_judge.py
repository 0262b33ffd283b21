"""ranker.evaluation.to_judge, by hand and against the real effect of a judgement."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.common.table import read_table
from ranker.evaluation.to_judge import COLUMNS, rows_needed, to_judge, write_list
from ranker.metrics.ranking import hits_measures, ranking_measures
from ranker.project import paths, tables
from ranker.project.documents import write_documents

SYSTEMS = ["ours", "other", "third"]
Row = tuple[str, str, int | None, float | None, float | None, float | None]


def make_run(*rows: Row) -> pd.DataFrame:
    run = pd.DataFrame(rows, columns=["query_id", "document_id", "grade", *SYSTEMS])
    return run.astype({"grade": "Int32"} | dict.fromkeys(SYSTEMS, float))


def judge(run: pd.DataFrame, systems: list[str] = SYSTEMS, largest: int = 1) -> pd.DataFrame:
    """`to_judge` with made-up texts."""
    queries = pd.DataFrame({"query_id": run["query_id"].unique()}).assign(query=lambda table: "Q " + table["query_id"])
    documents = pd.DataFrame({"document_id": run["document_id"].unique()})
    documents = documents.assign(title=lambda table: "T " + table["document_id"], text="all of it")
    return to_judge(run, systems, queries, documents, largest)


def test_what_a_judgement_could_move_by_hand() -> None:
    """Discounts of ranks 1 to 3: 1, 0.63093, 0.5. On a, the only judged document, ours leads by 0.36907.

    If b were relevant, both would have DCG 3.26186 (2 times 1.63093), and the lead would be gone. If c were, the lead
    would be 2 times (0.36907 + 0.5) over the ideal 3.26186, or 0.53287, which is 0.16380 more. The mean over two
    queries halves each.
    """
    run = make_run(
        ("1", "a", 2, 3, 2, None), ("1", "b", None, 2, 3, 1), ("1", "c", None, 1, None, None), ("2", "a", 1, 1, 1, 1)
    )
    found = judge(run)
    assert found.columns.tolist() == ["query_id", "query", "document_id", "title", "text", "found_by", "could_move"]
    assert found.to_numpy().tolist() == [
        ["1", "Q 1", "b", "T b", "all of it", "ours other third", 0.184535],
        ["1", "Q 1", "c", "T c", "all of it", "ours", 0.081899],
    ]


def test_a_query_without_a_relevant_document_counts_as_0() -> None:
    """If no grade is above 0, the largest is taken as 1: ours has it at rank 1, the other at rank 2."""
    run = make_run(("1", "a", None, 2, 1, None), ("1", "b", 0, 1, 2, None))
    assert judge(run)["could_move"].tolist() == [0.36907]
    assert judge(run.assign(grade=pd.array([pd.NA] * 2, "Int32")))["could_move"].tolist() == [0.36907] * 2


def test_the_largest_grade_of_a_named_scale_may_be_one_that_was_never_given() -> None:
    """With 3 in place of 1, at rank 3 of the third system only, the ideal is 3.63093 and the lead 0.10165 of it."""
    run = make_run(("1", "a", 1, 2, 1, None), ("1", "b", 0, 1, 2, None), ("1", "c", None, None, None, 1))
    assert judge(run, largest=3)["could_move"].tolist() == [0.267424]
    assert judge(run.assign(grade=run["grade"] * 3), largest=2).equals(judge(run.assign(grade=run["grade"] * 3)))


def test_ties_are_trec_evals() -> None:
    """Eleven scores are equal in single precision: the largest id is first; the smallest is eleventh and not listed."""
    rows = [("1", f"d{number:02}", None, 1 + number * 1e-9, None, None) for number in range(11)]
    assert judge(make_run(*rows))["document_id"].tolist() == [f"d{number:02}" for number in range(10, 0, -1)]


def test_nothing_to_judge_is_an_empty_table() -> None:
    found = judge(make_run(("1", "a", 1, 1, 1, 1)))
    assert (len(found), [name for name in found if name not in ("title", "text")]) == (0, COLUMNS)
    assert len(judge(make_run())) == 0


def test_the_list_shows_all_that_is_ranked_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that was judged and dropped is not listed; one that was judged with another text is."""
    monkeypatch.chdir(tmp_path)
    texts = {"a": ("=1+1", "Two\nlines"), "b": ("", "@home"), "1E5": ("Caves", "-"), "d": ("Dogs", "x")}
    write_documents(paths.DOCUMENTS, ((name, list(fields)) for name, fields in texts.items()), ["title", "text"])
    queries = pd.DataFrame({"query_id": ["1"], "query": ["+masks"]})
    tables.write_texts(paths.SPLIT_QUERIES, queries, tables.pack(["1"], [[7]]))
    pairs = pd.DataFrame(columns=tables.SCHEMAS[paths.SPLIT_PAIRS].names)
    tables.write_table(paths.SPLIT_PAIRS, pairs.astype({"judged": bool}))
    for path, ids in ((paths.SPLIT_DOCUMENTS, ["a"]), (paths.HIT_DOCUMENTS, list(texts))):
        documents = pd.DataFrame({"document_id": ids, "title": "", "text": ""})
        tables.write_texts(path, documents, tables.pack(ids, [[ord(name[0])] for name in ids]))
    paths.JOIN_FINDINGS.write_text(
        "query_id,document_id,finding,kept\n1,d,conflicting_grades,False\n1,b,judged_with_another_text,False\n"
    )
    rows = [("1", name, score, 1, None) for score, name in enumerate(texts)]
    ordered = pd.DataFrame(rows, columns=["query_id", "document_id", *SYSTEMS]).astype(dict.fromkeys(SYSTEMS, float))
    judged = pd.DataFrame({"query_id": ["1"], "document_id": ["a"], "grade": [1]})
    write_list(Path("to_judge.csv"), judged.iloc[:0], ordered, SYSTEMS, [])
    lines = Path("to_judge.csv").read_text().splitlines()
    assert lines[0] == "query_id,query,document_id,title,text,found_by,could_move"
    assert sorted(line.rpartition(",")[0] for line in lines[1:]) == [
        "1,'+masks,'1E5,Caves,'-,ours other",
        "1,'+masks,a,'=1+1,Two lines,ours other",
        "1,'+masks,b,,'@home,ours other",
    ]
    write_list(Path("to_judge.csv"), judged, ordered, SYSTEMS, [])
    assert [row["document_id"] for _, row in read_table(Path("to_judge.csv"), spreadsheet=True)] == ["1E5", "b"]


@given(st.data())
@settings(max_examples=30)
def test_rows_needed_are_those_that_bring_each_share_to_nine_tenths(data: st.DataObject) -> None:
    """Judge the list from its top, and ask ir_measures after each row."""
    queries, documents = ["1", "2", "3"], [f"d{number:02}" for number in range(14)]
    sizes = [data.draw(st.integers(1, 14)) for _ in queries]
    ids = [(query, name) for query, size in zip(queries, sizes, strict=True) for name in documents[:size]]
    ordered = pd.DataFrame(ids, columns=["query_id", "document_id"])
    for system in SYSTEMS[:2]:
        ordered[system] = data.draw(st.permutations(range(len(ids))))
    known = ordered.loc[[*range(0, len(ids), data.draw(st.integers(2, 9)))], ["query_id", "document_id"]]
    judged = pd.concat([known, pd.DataFrame({"query_id": queries, "document_id": "missed"})]).assign(grade=1)
    run = ordered.assign(third=np.nan).merge(judged, how="left").astype({"grade": "Int32"})
    listed = judge(run)
    listed = listed[: data.draw(st.integers(0, len(listed)))]

    def shares(rows: int) -> dict[str, float]:
        now = pd.concat([judged, listed.loc[: rows - 1, ["query_id", "document_id"]].assign(grade=1)])
        table = now.assign(relevant=True)
        return {
            name: float(hits_measures(table, ordered, ordered[name].to_numpy(float), 100)["Judged@10"].mean())
            for name in SYSTEMS[:2]
        }

    enough = [rows for rows in range(len(listed) + 1) if min(shares(rows).values()) >= 0.9 - 1e-9]
    assert rows_needed(listed, ordered, shares(0)) == (enough[0] if enough else None)


grades = st.one_of(st.none(), st.integers(-1, 3))
scores = st.one_of(st.none(), st.integers(0, 5).map(float))
runs = st.dictionaries(
    st.tuples(st.sampled_from("12"), st.sampled_from([f"d{number}" for number in range(25)])),
    st.tuples(grades, scores, scores, scores),
    min_size=1,
    max_size=40,
).map(lambda found: make_run(*((*pair, *row) for pair, row in found.items())))


def lead(run: pd.DataFrame) -> float:
    """The difference of mean nDCG@10 over all queries, by ir_measures; documents that a system lacks rank last."""
    filled = run.assign(grade=run["grade"].fillna(0).astype(int), relevant=False)
    means = [ranking_measures(filled, run[name].fillna(-1).to_numpy())["nDCG@10"].sum() for name in SYSTEMS[:2]]
    return (means[0] - means[1]) / run["query_id"].nunique()


@settings(max_examples=20, deadline=None)
@given(runs)
def test_could_move_is_the_effect_of_the_largest_grade(run: pd.DataFrame) -> None:
    # In `lead`, documents that a system lacks are last, possibly above rank 11 if it has fewer than ten.
    run = run.assign(ours=run["ours"].fillna(-1), other=run["other"].fillna(-1))
    largest = max(run["grade"].max(), 1) if run["grade"].notna().any() else 1
    for row in judge(run).head(5).itertuples():
        place = (run["query_id"] == row.query_id) & (run["document_id"] == row.document_id)
        judged = run.assign(grade=run["grade"].mask(place, largest))
        assert row.could_move == pytest.approx(abs(lead(judged) - lead(run)), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(runs, st.randoms())
def test_it_lists_each_unjudged_document_of_a_top_ten_once_in_any_order(run: pd.DataFrame, random) -> None:  # type: ignore[no-untyped-def]
    found = judge(run)
    shuffled = run.sample(frac=1, random_state=random.randrange(2**32))
    pd.testing.assert_frame_equal(found, judge(shuffled))
    assert not found.duplicated(["query_id", "document_id"]).any()
    wanted = set()
    for system in SYSTEMS:
        for _, rows in run.dropna(subset=system).groupby("query_id"):
            first = sorted(zip(rows[system], rows["document_id"], rows.index, strict=True), reverse=True)[:10]
            wanted |= {index for _, _, index in first if pd.isna(run.loc[index, "grade"])}
    asked = found[["query_id", "document_id"]].to_numpy().tolist()
    assert sorted(asked) == sorted(run.loc[sorted(wanted), ["query_id", "document_id"]].to_numpy().tolist())
    assert np.isfinite(found["could_move"]).all()
