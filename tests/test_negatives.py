"""ranker.retrieval.negatives: which queries are mined, which of their hits are taken, and how many are relevant."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.project.params import Negatives
from ranker.retrieval.negatives import Mined, ceilings, false_negatives, first, hidden_positives, mine, negatives_needed

PARAMS = Negatives(from_rank=2, per_positive=2)
IDS = [f"d{i}" for i in range(30)]


def judgements(*rows: tuple[str, str, bool | None, float]) -> pd.DataFrame:
    """query_id, document_id, relevant, base_cosine; each query and each document reads differently."""
    found = pd.DataFrame(rows, columns=["query_id", "document_id", "relevant", "base_cosine"])
    return found.assign(asked=found["query_id"].map(int), text=found["document_id"].map(number))


def number(document_id: str) -> int:
    return int(document_id[1:])


DOCUMENTS = pd.DataFrame({"document_id": IDS, "text": map(number, IDS)})


def hits(query_id: str, cosines: dict[str, float]) -> pd.DataFrame:
    """A query's hits, best first, and their cosines."""
    found = pd.DataFrame({"query_id": query_id, "document_id": list(cosines), "base_cosine": list(cosines.values())})
    found = found.assign(asked=int(query_id), text=found["document_id"].map(number))
    return found.assign(rank=np.arange(1, len(found) + 1))


def pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["query_id"], table["document_id"], strict=True))


@pytest.mark.parametrize(("negatives", "lacking"), [(0, 16), (1, 15), (2, None), (9, None)])
def test_wanted_are_negatives_of_queries_with_fewer_than_one_for_four_positives(
    negatives: int, lacking: int | None
) -> None:
    relevant = [True] * 8 + [False] * negatives + [False]
    judged = pd.DataFrame({"query_id": ["1"] * (8 + negatives) + ["2"], "relevant": relevant})
    assert negatives_needed(judged, 2).to_dict() == ({"1": lacking} if lacking else {})  # query 2 has no positive
    assert negatives_needed(judged, 0).empty


def test_ceilings_are_the_margin_below_the_median() -> None:
    judged = judgements(("1", "d1", True, 0.2), ("1", "d2", True, 0.6), ("1", "d3", True, 0.9), ("2", "d1", True, -0.5))
    assert ceilings(judged).to_dict() == pytest.approx({"1": 0.57, "2": -0.525})


def test_mine_takes_hits_that_no_judgement_nor_the_guard_refuses() -> None:
    judged = judgements(("1", "d1", True, 0.5), ("1", "d2", False, 0.1), ("1", "d3", None, np.nan))
    near = {"d10": 0.1, "d1": 0.5, "d2": 0.1, "d3": 0.2, "d4": 0.48, "d5": 0.475, "d6": 0.47, "d7": 0.2, "d8": 0.1}
    table = hits("1", near)
    table.loc[table["document_id"] == "d8", "text"] = number("d1")  # such as a preprint
    table.loc[table["document_id"] == "d7", "text"] = number("d2")
    found = mine(table, judged, pd.Series({"1": 4}), DOCUMENTS, PARAMS)
    assert pairs(found.from_ranks) == {("1", "d6"), ("1", "d7")}  # d10 ranks before the first rank to mine
    assert found.refused == {"judged": 3, "reads_like_a_positive": 1, "near_a_positive": 2}
    taken = {"d1", "d2", "d3", "d6", "d7"}
    assert len(found.at_random) == 2, "what the ranks lack"
    assert not taken & set(found.at_random["document_id"])
    free = mine(table, judged, pd.Series({"1": 4}), DOCUMENTS, PARAMS, guarded=False)
    assert pairs(free.from_ranks) < {("1", name) for name in ("d4", "d5", "d6", "d7", "d8")}
    assert (free.refused, len(free.from_ranks), len(free.at_random)) == ({"judged": 3}, 3, 1)


@st.composite
def collections(draw: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hits and judgements of up to four queries: positives, grades of 0, judgements that were dropped."""
    cosine = st.floats(-1, 1, width=32)
    tables, rows = [], []
    for query in range(draw(st.integers(1, 4))):
        ids = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=20))
        tables.append(hits(str(query), {name: draw(cosine) for name in ids}))
        known = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=9))
        kinds = [True, *(draw(st.sampled_from([True, False, None])) for _ in known[1:])]
        rows += [(str(query), name, kind, draw(cosine)) for name, kind in zip(known, kinds, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    table["text"] = [draw(st.integers(0, 29)) for _ in range(len(table))]
    return table, judgements(*rows)


all_params = st.builds(Negatives, from_rank=st.integers(1, 9), per_positive=st.integers(0, 5))


def all_wanted(judged: pd.DataFrame, params: Negatives) -> "pd.Series[int]":
    positives = judged[judged["relevant"].eq(True)]
    return positives.groupby("query_id").size() * params.per_positive


@settings(max_examples=30)
@given(collections(), all_params)
def test_mine_holds_to_ranks_judgements_guard_and_counts(
    made: tuple[pd.DataFrame, pd.DataFrame], params: Negatives
) -> None:
    table, judged = made
    lacking = all_wanted(judged, params)
    found = mine(table, judged, lacking, DOCUMENTS, params)
    both = pd.concat([found.from_ranks, found.at_random])
    assert not both.duplicated().any()
    assert not pairs(both) & pairs(judged), "never a judged one of any grade, dropped ones among them"
    rows = found.from_ranks.merge(table, how="left")
    assert (rows["rank"] >= params.from_rank).all()
    positives = judged[judged["relevant"].eq(True)]
    for query_id, of_query in rows.groupby("query_id"):
        own = positives[positives["query_id"] == query_id]
        median = np.median(own["base_cosine"].to_numpy(np.float64))
        assert (of_query["base_cosine"] < median - 0.05 * abs(median) + 1e-6).all()
        assert not set(of_query["text"]) & set(own["text"])
        assert len(of_query) <= lacking[query_id] - round(lacking[query_id] / 4)
    for query_id, count in zip(lacking.index, lacking, strict=True):
        drawable = len(IDS) - (judged["query_id"] == query_id).sum()
        assert (both["query_id"] == query_id).sum() == min(count, drawable)  # each document reads differently
    refused = len(table[table["rank"] >= params.from_rank]) - sum(found.refused.values())
    assert len(found.from_ranks) <= refused


@settings(max_examples=30)
@given(collections(), all_params)
def test_mine_of_one_query_does_not_know_the_others(made: tuple[pd.DataFrame, pd.DataFrame], params: Negatives) -> None:
    """The order of rows does not matter either, so no fold learns from another's judgements."""
    table, judged = made
    lacking = all_wanted(judged, params)
    all_of_it = mine(table.sample(frac=1, random_state=1), judged[::-1], lacking, DOCUMENTS, params)
    for query_id in lacking.index:
        hit, known = (part[part["query_id"] == query_id] for part in (table, judged))
        alone = mine(hit, known, lacking[[query_id]], DOCUMENTS, params)
        for name in ("from_ranks", "at_random"):
            expected = getattr(all_of_it, name)
            expected = expected[expected["query_id"] == query_id]
            assert getattr(alone, name).to_numpy().tolist() == expected.to_numpy().tolist()


@settings(max_examples=30)
@given(collections(), all_params, st.integers(1, 30), st.integers(1, 4))
def test_no_negative_has_the_text_of_a_relevant_document(
    made: tuple[pd.DataFrame, pd.DataFrame], params: Negatives, texts: int, queries: int
) -> None:
    """This must hold even if documents and queries have few distinct texts."""
    table, judged, documents = (
        part.assign(text=[number(name) % texts for name in part["document_id"]]) for part in (*made, DOCUMENTS)
    )
    table, judged = (part.assign(asked=[int(name) % queries for name in part["query_id"]]) for part in (table, judged))
    mined = mine(table, judged, all_wanted(judged, params), documents, params)
    both = pd.concat([mined.from_ranks, mined.at_random])
    read = {(int(query_id) % queries, number(name) % texts) for query_id, name in pairs(both)}
    may_be = judged[judged["relevant"].ne(False)]
    assert not read & set(zip(may_be["asked"], may_be["text"], strict=True))


def test_first_of_more_documents_moves_no_other() -> None:
    few, more = (pd.DataFrame({"query_id": "1", "document_id": [f"d{i}" for i in range(n)]}) for n in (20, 21))
    for count in (0, 3, 20):
        before, after = (pairs(first(table, pd.Series({"1": count}))) for table in (few, more))
        assert len(before) == count
        assert len(before - after) <= 1
    assert len(first(few, pd.Series({"1": 30}))) == 20


def test_hidden_positives_are_the_smaller_half() -> None:
    rows = [("1", "d1", True, 0), ("2", "d1", True, 0), ("2", "d2", True, 0), ("2", "d3", True, 0)]
    judged = judgements(*rows, ("2", "d4", False, 0), ("2", "d5", None, np.nan))
    hidden = judged[hidden_positives(judged)]
    assert hidden["query_id"].tolist() == ["2"]
    assert hidden["relevant"].all()


def test_false_negatives_by_hand() -> None:
    """The guard refuses either hidden positive; without the guard it is mined, with the one other hit."""
    judged = judgements(("1", "d1", True, 0.5), ("1", "d2", True, 0.5), ("3", "d1", True, 0.5))
    table = hits("1", {"d1": 0.5, "d2": 0.5, "d3": 0.4})
    params = PARAMS.model_copy(update={"from_rank": 1})
    found = false_negatives(table, judged, DOCUMENTS[1:4], params)
    assert (found["queries"], found["hidden"]) == (1, 1)
    assert found["unguarded"] == {
        "from_ranks": {"mined": 2, "relevant": 1, "rate": 0.5, "share_of_hidden": 1.0},
        "at_random": {"mined": 0, "relevant": 0, "rate": None, "share_of_hidden": 0.0},
    }
    assert found["guarded"] == {
        "from_ranks": {"mined": 1, "relevant": 0, "rate": 0.0, "share_of_hidden": 0.0},
        "at_random": {"mined": 1, "relevant": 1, "rate": 1.0, "share_of_hidden": 1.0},
    }


def test_false_negatives_of_single_positives_are_not_known() -> None:
    judged = judgements(("1", "d1", True, 0.5))
    found = false_negatives(hits("1", {"d3": 0.4}), judged, DOCUMENTS, PARAMS)
    assert (found["queries"], found["hidden"]) == (0, 0)
    assert found["guarded"]["from_ranks"] == {"mined": 0, "relevant": 0, "rate": None, "share_of_hidden": None}  # type: ignore[index]


@settings(max_examples=30)
@given(collections(), all_params)
def test_false_negatives_are_counted_again(made: tuple[pd.DataFrame, pd.DataFrame], params: Negatives) -> None:
    table, judged = made
    found: Any = false_negatives(table, judged, DOCUMENTS, params)
    secret = hidden_positives(judged)
    known = judged[~secret & judged["query_id"].isin(judged[secret]["query_id"])]
    for name, guarded in (("guarded", True), ("unguarded", False)):
        mined: Mined = mine(table, known, all_wanted(known, params), DOCUMENTS, params, guarded)
        for part in ("from_ranks", "at_random"):
            both = pairs(getattr(mined, part)) & pairs(judged[secret])
            assert found[name][part]["relevant"] == len(both)
            assert found[name][part]["mined"] == len(getattr(mined, part))
