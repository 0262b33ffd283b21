"""ranker.evaluation.shipped and `cut_audit`: how many texts are cut, and the cost in nDCG."""

from pathlib import Path

import pandas as pd
import pytest

from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.evaluation.compare import cut_audit
from ranker.evaluation.shipped import shipped_scores, uncut_scores
from ranker.metrics.ranking import ranking_measures
from ranker.project import paths, tables

LONG = " ".join(f"masks {i}" for i in range(60))  # more than a title's 95 tokens


def make(query: str, titles: list[str]) -> pd.DataFrame:
    """A run of one query, whose last documents are relevant, with the texts as stage split writes them."""
    ids = [f"d{i}" for i in range(len(titles))]
    queries = pd.DataFrame({"query_id": ["1"], "query": [query]})
    documents = pd.DataFrame({"document_id": ids, "title": titles, "text": titles})
    relevant = [i >= len(ids) // 2 for i in range(len(ids))]
    run = pd.DataFrame({"query_id": "1", "document_id": ids, "relevant": relevant}).assign(grade=relevant)
    tokenizer = load_tokenizer(paths.RANKER)
    tables.write_texts(paths.SPLIT_QUERIES, queries, tables.pack(["1"], tokenize(tokenizer, [query])))
    tables.write_texts(paths.SPLIT_DOCUMENTS, documents, tables.pack(ids, tokenize(tokenizer, titles)))
    run = run.join(shipped_scores(run, queries, documents))
    return run.assign(uncut=uncut_scores(run, queries, documents))


@pytest.fixture(autouse=True)
def _project(ranker_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths.RANKER.parent.mkdir()
    paths.RANKER.symlink_to(ranker_folder)


def test_cut_audit_of_texts_that_fit_scores_nothing_again() -> None:
    run = make("masks", ["Masks", "Bats", "Gowns", "Wards"])
    nothing_cut = {"queries": 1, "queries_cut": 0, "documents_cut": 0, "pairs_cut": 0}
    assert cut_audit(run) == nothing_cut


def test_cut_audit_counts_what_is_cut_and_what_it_costs() -> None:
    """Two of four titles exceed the contract's size."""
    run = make("masks", ["Masks", f"{LONG} bats", "Gowns", f"{LONG} wards virus"])
    found = cut_audit(run)
    assert (found["queries_cut"], found["documents_cut"], found["pairs_cut"]) == (0, 2, 2)
    assert found["nDCG@10"] == ranking_measures(run, run["cross_encoder"].to_numpy())["nDCG@10"].item()
    assert 0 <= found["nDCG@10_uncut"] <= 1


def test_cut_audit_of_a_long_query_is_of_all_its_pairs() -> None:
    run = make(" ".join(["masks"] * 31), ["Masks", "Bats"])
    found = cut_audit(run)
    assert (found["queries_cut"], found["documents_cut"], found["pairs_cut"]) == (1, 0, 2)
    fits = make(" ".join(["masks"] * 30), ["Masks", "Bats"])
    assert cut_audit(fits)["pairs_cut"] == 0
