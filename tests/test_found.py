"""ranker.export.found: the int8 retriever ships only if it finds what the fp32 one finds, in as good an order."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from sklearn.metrics import ndcg_score

from ranker.export import found as found_module
from ranker.export.found import DEPTH, Pool, beside, drawn_pairs, losses, passes, read_pool
from ranker.export.retriever import gate
from ranker.metrics.comparison import Mean
from ranker.model.cross_encoder import load_base_model
from ranker.project import paths, tables
from ranker.project.sides import held_out_pairs
from ranker.serving.retriever import Retriever
from tests.factories import PARAMS, make_data
from tests.test_retriever import made as made


def loss(mean: float, low: float) -> Mean:
    return {"mean": mean, "low": low, "high": 2 * mean - low}


@pytest.mark.parametrize(
    ("recall", "order", "expected"),
    [
        (loss(0, 0), loss(0, 0), True),
        (loss(-0.2, -0.3), loss(0.01, 0.005), True),  # clear, but small
        (loss(0, 0), loss(0.03, -0.001), True),  # may be chance
        (loss(0, 0), loss(0.0101, 0.0001), False),
        (loss(0.0101, 0.0001), loss(0, 0), False),
        (loss(0, 0), loss(0.0501, -0.3), False),  # few queries: their interval excuses no such loss
    ],
)
def test_passes_by_mean_and_interval_of_each_measure(recall: Mean, order: Mean, expected: bool) -> None:
    assert passes({"R@100": recall, "nDCG@10": order}, pd.DataFrame({"score": [0.1, -1]})) == expected


@pytest.fixture
def pool(made: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """The queries and documents of a project whose retriever is exported."""
    monkeypatch.chdir(made)
    sides = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), 0)
    return read_pool(dict(zip(("training", "held-out"), sides, strict=True)), 13)


def test_measures_are_those_of_scikit_learn_over_the_whole_pool(pool: Pool) -> None:
    """Each query searches all documents; those that are not judged for it count as not relevant."""
    retriever = Retriever(paths.RETRIEVER)
    hits = pool.hits(retriever)
    assert hits.groupby("query_id").size().eq(DEPTH).all()
    documents = pool.documents.ids.to_pylist()
    vectors = retriever.embed_tokens(pool.documents)
    for side, pairs in pool.sides.items():
        measured = pool.measures(hits, side)
        assert len(measured) == pairs["query_id"].nunique()
        for (query, own), (_, row) in zip(pairs.groupby("query_id", sort=False), measured.iterrows(), strict=True):
            asked = retriever.embed_tokens([pool.queries[pool.queries.ids.to_pylist().index(query)]])
            scores = (asked @ vectors.T)[0]
            grades = own.set_index("document_id")["grade"].reindex(documents).fillna(0).to_numpy()
            found = np.argsort(-scores)[:DEPTH]
            relevant = np.isin(documents, own.query("relevant")["document_id"])
            assert row["R@100"] == pytest.approx(relevant[found].sum() / relevant.sum())
            assert row["nDCG@10"] == pytest.approx(ndcg_score([grades], [scores], k=10), abs=1e-6)


def test_pool_has_the_judged_documents_and_others_of_the_collection(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = set(pd.concat(list(pool.sides.values()))["document_id"])
    everything = set(pd.read_parquet(paths.DOCUMENTS)["document_id"])
    assert set(pool.documents.ids.to_pylist()) == everything
    monkeypatch.setattr(found_module, "OTHERS", 9)
    monkeypatch.setattr(found_module, "PAIRS", 4)
    small, again, other = (read_pool(pool.sides, seed) for seed in (13, 13, 14))
    assert small.documents.ids == again.documents.ids != other.documents.ids
    own = set(pd.concat(list(small.sides.values()))["document_id"])
    beside_them = set(small.documents.ids.to_pylist()) - own
    assert own < judged
    assert 0 < len(beside_them) <= 9
    tokens = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    for row, name in enumerate(small.documents.ids.to_pylist()):
        place = tokens.ids.to_pylist().index(name)
        assert small.documents[row].tolist() == tokens[place].tolist()


def test_drawn_pairs_keep_relevant_documents_of_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, _ = make_data(6)
    assert len(drawn_pairs(pairs, 13)) == 60
    without = pairs.assign(relevant=pairs["relevant"] & (pairs["query_id"] != "q2"))
    assert set(drawn_pairs(without, 13)["query_id"]) == {"q0", "q1", "q3", "q4", "q5"}
    monkeypatch.setattr(found_module, "QUERIES", 3)
    monkeypatch.setattr(found_module, "PAIRS", 6)
    drawn = drawn_pairs(pairs, 13)
    assert drawn.groupby("query_id")["relevant"].agg(["size", "sum"]).to_numpy().tolist() == [[6, 3]] * 3
    assert drawn.equals(drawn_pairs(pairs, 13))
    assert len({tuple(drawn_pairs(pairs, seed)["document_id"]) for seed in range(5)}) == 5


def test_losses_are_paired_with_an_interval_over_queries() -> None:
    random = np.random.default_rng(3)
    exact, rounded = (pd.DataFrame(random.random((9, 2)), columns=["R@100", "nDCG@10"]) for _ in range(2))
    for name, found in losses(exact, rounded).items():
        difference = exact[name] - rounded[name]
        low, high = ttest_1samp(difference, 0).confidence_interval()
        assert found == pytest.approx({"mean": difference.mean(), "low": low, "high": high})
    assert beside(exact, rounded)["nDCG@10 in fp32"] == exact["nDCG@10"].mean()


@pytest.mark.parametrize(("largest", "passing"), [(1.0, True), (-1.0, False)])
def test_gate_leaves_matrices_out_and_then_the_model(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: float, passing: bool
) -> None:
    """Bounds that all or no losses exceed: the first scheme ships, or six are tried and fp32 ships alone."""
    monkeypatch.setattr(found_module, "LOSS", largest)
    monkeypatch.setattr(found_module, "LARGEST", largest)
    folder = Path(shutil.copytree(paths.RETRIEVER, tmp_path / "retriever"))
    (folder / "model.int8.onnx").unlink()
    model = load_base_model(paths.RETRIEVER_CHECKPOINT).eval()
    model.pooler = None
    tried, _ = gate(model, pool, pool.hits(Retriever(folder, trusted=True)), folder, PARAMS.export)
    assert [trial["passed"] for trial in tried] == ([True] if passing else [False] * 6)
    assert [len(trial["left_out"]) for trial in tried] == ([0] if passing else [0, 0, 0, 2, 3, 6])  # type: ignore[arg-type]
    assert (folder / "model.int8.onnx").is_file() == passing
    assert set(tried[0]) > {"R@100", "nDCG@10", "loss of R@100", "loss of nDCG@10"}


def test_a_model_that_gives_one_document_no_number_does_not_pass(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    retriever = Retriever(paths.RETRIEVER)
    vectors = retriever.vectors

    def spoilt(inputs: dict[str, np.ndarray]) -> np.ndarray:
        found = vectors(inputs)
        return np.where(inputs["input_ids"].shape[1] > 10, np.nan, found).astype(np.float32)

    same = losses(*[pool.measures(pool.hits(retriever), "training")] * 2)
    assert passes(same, pool.hits(retriever))
    monkeypatch.setattr(retriever, "vectors", spoilt)
    assert not passes(same, pool.hits(retriever))
