"""ranker.evaluation.to_judge, by hand and against the real effect of a judgement."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.common.table import read_table
from ranker.contract.stacks import LISTS
from ranker.evaluation.compare import evaluate
from ranker.evaluation.to_judge import COLUMNS, rows_needed, to_judge, write_list
from ranker.metrics.ranking import CONDENSED, MAIN, ranking_measures
from ranker.project import paths, tables
from ranker.project.documents import write_documents
from ranker.stacks.table import stack_table
from tests.factories import PARAMS

SYSTEMS = ["ours", "other", "third"]
Row = tuple[str, str, int | None, float | None, float | None, float | None]


def make_run(*rows: Row) -> pd.DataFrame:
    run = pd.DataFrame(rows, columns=["query_id", "document_id", "grade", *SYSTEMS])
    return run.astype({"grade": "Int32"} | dict.fromkeys(SYSTEMS, float))


def firsts_of(run: pd.DataFrame) -> pd.DataFrame:
    """Each system's first ten, by plain sorting."""
    rows: list[tuple[str, str, str]] = []
    for name in SYSTEMS:
        for query_id, found in run.dropna(subset=name).groupby("query_id"):
            ranked = sorted(zip(found[name], found["document_id"], strict=True), reverse=True)[:10]
            rows += [(name, str(query_id), document) for _, document in ranked]
    return pd.DataFrame(rows, columns=["name", "query_id", "document_id"])


def judge(run: pd.DataFrame, largest: int = 1) -> pd.DataFrame:
    """`to_judge` with made-up texts; the first two of SYSTEMS are compared."""
    queries = pd.DataFrame({"query_id": run["query_id"].unique()}).assign(query=lambda table: "Q " + table["query_id"])
    documents = pd.DataFrame({"document_id": run["document_id"].unique()})
    documents = documents.assign(title=lambda table: "T " + table["document_id"], text="all of it")
    return to_judge(run.drop(columns="third"), firsts_of(run), queries, documents, largest)


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
        ["1", "Q 1", "b", "T b", "all of it", "ours; other; third", 0.184535],
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


def test_of_rows_that_could_move_as_much_those_that_more_have_found_are_first() -> None:
    """The compared systems have neither b nor c nor d; the third has all of them, a fourth c alone."""
    run = make_run(("1", "a", 1, 1, 1, None), *(("1", name, None, None, None, 1) for name in "bcd"))
    fourth = pd.DataFrame({"name": "fourth", "query_id": ["1"], "document_id": ["c"]})
    firsts, texts = pd.concat([firsts_of(run), fourth]), pd.DataFrame({"document_id": list("abcd"), "many": "a field"})
    found = to_judge(run.drop(columns="third"), firsts, pd.DataFrame({"query_id": ["1"], "query": "Q"}), texts)
    assert found[["document_id", "found_by", "could_move"]].to_numpy().tolist() == [
        ["c", "third; fourth", 0.0],
        ["b", "third", 0.0],
        ["d", "third", 0.0],
    ]


def test_nothing_to_judge_is_an_empty_table() -> None:
    found = judge(make_run(("1", "a", 1, 1, 1, 1)))
    assert (len(found), [name for name in found if name not in ("title", "text")]) == (0, COLUMNS)
    assert len(judge(make_run())) == 0


def write_collection(texts: dict[str, tuple[str, str]], queries: dict[str, str], findings: str = "") -> None:
    """The files that `write_list` reads; documents read alike if their ids begin alike."""
    ids = list(texts)
    write_documents(paths.DOCUMENTS, ((name, list(fields)) for name, fields in texts.items()), ["title", "text"])
    encoded = pd.DataFrame({"document_id": ids, "paired": False, "tokens": [[ord(name[0])] for name in ids]})
    tables.write_table(paths.ENCODED_DOCUMENTS, encoded)
    asked = pd.DataFrame(queries.items(), columns=["query_id", "query"])
    tables.write_texts(paths.SPLIT_QUERIES, asked, tables.pack(queries, [[number] for number in range(len(queries))]))
    pairs = pd.DataFrame(columns=tables.SCHEMAS[paths.SPLIT_PAIRS].names)
    tables.write_table(paths.SPLIT_PAIRS, pairs.astype({"judged": bool}))
    paths.JOIN_FINDINGS.write_text(f"query_id,document_id,finding,kept\n{findings}")


def test_the_list_shows_all_that_is_ranked_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that was judged and dropped is not listed; one that was judged with another text is.

    The dropped one is a quarter of each first ten, so the list does not bring them to 90%.
    """
    monkeypatch.chdir(tmp_path)
    texts = {"a": ("=1+1", "Two\nlines"), "b": ("", "@home"), "1E5": ("Caves", "-"), "d": ("Dogs", "x")}
    findings = "1,d,conflicting_grades,False\n1,b,judged_with_another_text,False\n"
    write_collection(texts, {"1": "+masks"}, findings)
    ordered = pd.DataFrame({"query_id": "1", "document_id": list(texts), "cross_encoder": [0.0, 1, 2, 3], "bm25": 1.0})
    firsts = pd.concat([ordered[tables.IDS].assign(name=name, seed=13) for name in ("bm25", "hybrid, fitted")])
    judged = pd.DataFrame({"query_id": ["1"], "document_id": ["a"], "grade": [1]})
    assert write_list(Path("to_judge.csv"), judged.iloc[:0], ordered, firsts, "bm25", []) is None
    lines = Path("to_judge.csv").read_text().splitlines()
    assert lines[0] == "query_id,query,document_id,title,text,found_by,could_move"
    assert sorted(line.rpartition(",")[0] for line in lines[1:]) == [
        "1,'+masks,'1E5,Caves,'-,\"bm25; hybrid, fitted\"",
        "1,'+masks,a,'=1+1,Two lines,\"bm25; hybrid, fitted\"",
        "1,'+masks,b,,'@home,\"bm25; hybrid, fitted\"",
    ]
    assert write_list(Path("to_judge.csv"), judged, ordered, firsts, "bm25", []) is None
    assert [row["document_id"] for _, row in read_table(Path("to_judge.csv"), spreadsheet=True)] == ["1E5", "b"]


TWELVE = [f"q{number:02}" for number in range(12)]
ONLY_DENSE = ("q00", "q01", "q02")  # whose second hit, c, no other list has


def shop_pairs(graded: Sequence[tuple[str, str]] = ()) -> pd.DataFrame:
    """Twelve queries with a, of grade 1, and b, of grade 0, and other pairs, of grade 0."""
    judged = [*((query, name) for query in TWELVE for name in "ab"), *graded]
    pairs = pd.DataFrame(judged, columns=tables.IDS).sort_values(tables.IDS, ignore_index=True)
    pairs = pairs.assign(grade=pairs["document_id"].eq("a").astype(int), judged=True, unseen=False)
    return pairs.assign(relevant=pairs["grade"] > 0, **shop_scores(pairs))


def shop_scores(pairs: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    """Every system has a first, then b, c and e."""
    best = pairs["document_id"].map({"a": 4.0, "b": 3.0, "c": 2.0, "e": 1.0})
    return dict.fromkeys(("cross_encoder", "base_cosine", "bm25", "retriever"), best)


def shop_hits() -> pd.DataFrame:
    """Both lists find a and b, but for q03 a and e, and for ONLY_DENSE the retriever a and c, without b."""
    both = [("a", 1, 1), ("b", 2, 2)]
    others = {query: [("a", 1, 1), ("b", 2, None), ("c", None, 2)] for query in ONLY_DENSE}
    others |= {"q03": [("a", 1, 1), ("e", 2, 2)]}
    rows = [(query, *hit) for query in TWELVE for hit in others.get(query, both)]
    hits = pd.DataFrame(rows, columns=[*tables.IDS, "bm25_rank", "dense_rank"]).assign(base_rank=None, run_rank=None)
    return hits.astype({f"{name}_rank": "Int32" for name in LISTS}).assign(**shop_scores(hits))


def test_the_list_brings_each_stack_to_nine_tenths_the_one_that_does_not_ship_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BM25 > cross-encoder ships. Of the retriever's 24 hits, c of three queries and e are unjudged, so 20 / 24 are.

    Two rows bring it to 22 / 24.

    All systems have equal orders, so no judgement could move a difference: e, which all find, is first, then the ids.
    """
    monkeypatch.chdir(tmp_path)
    first_stage = PARAMS.first_stage.model_copy(update={"retriever": "bm25"})
    order = PARAMS.order.model_copy(update={"by": "cross_encoder"})
    params = PARAMS.model_copy(update={"first_stage": first_stage, "order": order})
    write_collection({name: (name.upper(), "") for name in "abce"}, {query: f"Q {query}" for query in TWELVE})

    def run(graded: Sequence[tuple[str, str]]) -> tuple[int | None, list[dict[str, str]], list[str]]:
        served = evaluate({13: shop_pairs(graded)}, {13: shop_hits()}, params).served
        assert served is not None
        strongest = served.comparison["headline"]["strongest"]
        rows = write_list(Path("list.csv"), served.judged, served.ordered, served.firsts, strongest, [])
        listed = [row for _, row in read_table(Path("list.csv"), spreadsheet=True)]
        return rows, listed, stack_table(served.stacks, "bm25+cross_encoder", seed=1)["columns"]

    rows, listed, columns = run([])
    assert (rows, columns) == (2, [MAIN, CONDENSED])
    two, four = "dense; hybrid", "dense+cross_encoder; dense+fused; hybrid+cross_encoder; hybrid+fused"
    everyone = f"cross_encoder; first_stage; base_cosine; bm25; {two}; bm25+cross_encoder; {four}"
    assert [(row["query_id"], row["document_id"], row["found_by"], row["could_move"]) for row in listed] == [
        ("q03", "e", everyone, "0.0"),
        *((query, "c", f"{two}; {four}", "0.0") for query in ONLY_DENSE),
    ]
    pairs = [(row["query_id"], row["document_id"]) for row in listed]
    assert run(pairs[:1])[::2] == (1, [MAIN, CONDENSED])
    assert run(pairs[:2])[::2] == (0, [MAIN])


@given(st.data())
@settings(max_examples=30)
def test_rows_needed_are_those_that_bring_each_share_to_nine_tenths(data: st.DataObject) -> None:
    """Judge the list from its top, and count after each row: the mean over seeds and queries with hits."""
    documents = st.lists(st.sampled_from("abcdefghijklmn"), unique=True, max_size=10)
    rankings = {place: data.draw(documents) for place in product(("bm25", "dense"), (13, 14), "12")}
    rows = [(*place, document) for place, found in rankings.items() for document in found]
    firsts = pd.DataFrame(rows, columns=["name", "seed", "query_id", "document_id"])
    pairs = sorted({(query, document) for _, _, query, document in rows} | {("1", "missed")})
    pairs = data.draw(st.permutations(pairs))
    judged, listed = (pd.DataFrame(some, columns=tables.IDS) for some in (pairs[::2], pairs[1::2]))
    listed = listed[: data.draw(st.integers(0, len(listed)))]

    def enough(known: set[tuple[str, str]]) -> bool:
        shares: dict[str, list[float]] = {"bm25": [], "dense": []}
        for (name, _, query), found in rankings.items():
            if found:
                shares[name].append(sum((query, document) in known for document in found) / len(found))
        return all(np.mean(of) >= 0.9 - 1e-9 for of in shares.values() if of)

    known = [{*pairs[::2], *pairs[1::2][:count]} for count in range(len(listed) + 1)]
    expected = [count for count, so_far in enumerate(known) if enough(so_far)]
    assert rows_needed(listed, judged, firsts) == (expected[0] if expected else None)


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
