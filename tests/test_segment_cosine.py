"""ranker.model.segment_cosine: its initial scores, against transformers and the base model's own vectors."""

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertModel, pipeline

from ranker.base.base_model import fetch_base_model
from ranker.contract.layout import lay_out
from ranker.contract.tokens import load_layout, load_tokenizer, tokenize
from ranker.export.onnx import compare, export_onnx
from ranker.metrics.ranking import ranking_measures, relevant_queries
from ranker.model.cross_encoder import (
    load_checkpoint,
    new_classifier,
    new_segment_cosine,
    save_model,
    set_trainable,
)
from ranker.model.dataset import encode_pairs
from ranker.model.embedding import Embedder
from ranker.model.predict import score
from ranker.model.segment_cosine import OFFSET, SCALE, BertForBiEncoder, BertForSegmentCosine
from ranker.project.tables import pack
from ranker.serving.ranker import Ranker
from ranker.training.trainer import fine_tune
from tests.factories import (
    LAYOUT,
    PARAMS,
    SAMPLE,
    TRAIN,
    join_tutorial,
    make_pairs,
    own_cosines,
    weights,
    write_encoder,
)


@pytest.fixture
def model(fetched_model: Path) -> BertForSegmentCosine:
    return new_segment_cosine(fetched_model).eval()


def logits(model: torch.nn.Module, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_score_before_training_is_the_cosine_of_transformers_states(
    model: BertForSegmentCosine, fetched_model: Path
) -> None:
    """Each pair alone, with token type 0 everywhere; the query's mean includes [CLS], the document's does not."""
    plain, pairs = BertModel.from_pretrained(fetched_model).eval(), make_pairs(2)
    expected = []
    for query, document, _ in [pairs[row] for row in range(len(pairs))]:
        ids = torch.tensor([[2, *query, 3, *document, 3]])
        with torch.inference_mode():
            states = plain(input_ids=ids).last_hidden_state[0].numpy()
        means = states[: len(query) + 2].mean(axis=0), states[len(query) + 2 :].mean(axis=0)
        expected.append(SCALE * cosines(*(one[np.newaxis] for one in means))[0] + OFFSET)
    found = score(model, pairs, 256)
    assert found == pytest.approx(np.array(expected), abs=1e-4)
    assert np.ptp(found) > 0.1
    assert (SCALE, OFFSET) == (8, -4)


def test_bi_encoder_before_training_is_the_base_models_own_cosine(fetched_model: Path) -> None:
    pairs, embed = make_pairs(3), Embedder(fetched_model)
    texts = [pairs[row] for row in range(len(pairs))]
    queries = embed([query for query, _, _ in texts], "query")
    documents = embed([document for _, document, _ in texts], "document")
    found = own_cosines(cast(BertForBiEncoder, new_segment_cosine(fetched_model, BertForBiEncoder)), pairs)
    assert found == pytest.approx(cosines(queries, documents), abs=1e-5)
    assert np.ptp(found) > 0.1


def test_score_before_training_ranks_as_well_as_the_base_models_cosine(tmp_path: Path) -> None:
    """nDCG@10 over twenty of the sample's queries with the sample's base model, and far better than chance."""
    folder = tmp_path / "model"
    fetch_base_model(PARAMS.fetch.base_model, folder, PARAMS.fetch.base_sha256)
    found, titles = join_tutorial(SAMPLE)
    twenty = found.pairs["query_id"].isin(found.queries["query_id"][:20])
    tokenizer, judged = load_tokenizer(folder), relevant_queries(found.pairs[twenty])
    queries = pack(found.queries["query_id"], tokenize(tokenizer, found.queries["query"].tolist()))
    documents = pack(titles["document_id"], tokenize(tokenizer, titles["title"].tolist()))
    pairs = encode_pairs(judged, queries, documents, load_layout(folder, 32, 96))
    embed = Embedder(folder)
    vectors = embed(queries, "query")[pairs.query_rows], embed(documents, "document")[pairs.document_rows]
    chance = np.random.default_rng(1).random(len(judged))
    scores = (score(new_segment_cosine(folder), pairs, 2048), cosines(*vectors), chance)
    own, cosine, random = (ranking_measures(judged, each)["nDCG@10"].mean() for each in scores)
    assert own == pytest.approx(cosine, abs=0.05)
    assert own > random + 0.1


def test_padding_changes_no_logit(model: BertForSegmentCosine) -> None:
    pairs = make_pairs(2)
    short, long = (logits(model, pairs.inputs(range(len(pairs)), length)) for length in (None, 40))
    np.testing.assert_allclose(short, long, atol=1e-5)
    assert pairs.inputs(range(len(pairs)))["input_ids"].shape[1] < 40


def test_logits_read_types_and_mask(model: BertForSegmentCosine) -> None:
    """The two inputs only mark the document's tokens and the padding: a change of either changes the score."""
    pairs = make_pairs(2)
    inputs = pairs.inputs(range(len(pairs)))
    right = logits(model, inputs)
    swapped = inputs | {"token_type_ids": inputs["attention_mask"], "attention_mask": inputs["token_type_ids"]}
    assert np.abs(logits(model, swapped) - right).max(axis=1).min() > 1e-2
    everywhere = inputs | {"attention_mask": np.ones_like(inputs["attention_mask"])}
    assert np.abs(logits(model, everywhere) - right).max() > 1e-3


def test_logits_of_an_empty_title_are_finite(model: BertForSegmentCosine) -> None:
    assert np.isfinite(logits(model, lay_out(LAYOUT, [[7, 8]], [[]]))).all()


def test_export_onnx_gives_pytorchs_logits(model: BertForSegmentCosine, fetched_model: Path, tmp_path: Path) -> None:
    """After training, so that token types, scale and offset differ from their initial values."""
    fine_tune(model, make_pairs(8), TRAIN)
    model.eval()
    export_onnx(model, tmp_path / "model.onnx", PARAMS.export)
    write_encoder(fetched_model, tmp_path)
    ranker, pairs = Ranker(tmp_path, trusted=True), make_pairs(3, seed=2)
    for length in (None, 40):
        inputs = pairs.inputs(range(len(pairs)), length)
        np.testing.assert_allclose(ranker.logits(inputs), logits(model, inputs), atol=1e-4)
    assert max(compare(model, ranker, pairs, 256).values()) < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fine_tune_learns_in_either_precision(model: BertForSegmentCosine, precision: Literal["fp32", "bf16"]) -> None:
    """It starts from an order unrelated to relevance and reaches a nearly perfect one."""
    training, held_out = make_pairs(20), make_pairs(10, seed=1)
    relevant = held_out.targets == 1
    settings = TRAIN.model_copy(update={"precision": precision, "epochs": 6})
    before = score(model, held_out, 256, precision)
    fine_tune(model, training, settings)
    after = score(model, held_out, 256, precision)
    assert after.dtype == np.float32
    assert len(np.unique(after)) > len(after) / 2  # the head is in fp32, because bf16 alone would tie many
    margins = [scores[relevant].mean() - scores[~relevant].mean() for scores in (before, after)]
    assert margins[1] > margins[0] + 1


def test_load_checkpoint_gives_back_what_was_trained(
    model: BertForSegmentCosine, fetched_model: Path, tmp_path: Path
) -> None:
    fine_tune(model, make_pairs(4), TRAIN)
    save_model(model, fetched_model, tmp_path)
    again = load_checkpoint(tmp_path)
    assert isinstance(again, BertForSegmentCosine)
    assert not again.training
    before = weights(model)
    assert before.keys() == weights(again).keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(again).items())


@pytest.mark.parametrize(("trainable", "layers"), [("layers", {"0", "1"}), ("top-1", {"1"})])
def test_set_trainable_leaves_the_embeddings_as_they_are(
    model: BertForSegmentCosine, trainable: str, layers: set[str]
) -> None:
    set_trainable(model, trainable)
    names = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert {"scale", "offset"} <= names
    assert {name.split(".")[3] for name in names - {"scale", "offset"}} == layers
    assert not any("embeddings" in name for name in names)


def test_scale_and_offset_move_faster_than_weights(model: BertForSegmentCosine) -> None:
    """Twenty times: a step that moves every weight by about the learning rate moves the score by 20 times that."""
    fine_tune(model, make_pairs(8), TRAIN.model_copy(update={"epochs": 1, "warmup_steps": 0}))
    moved = abs(20 * model.scale.item() - SCALE), abs(20 * model.offset.item() - OFFSET)
    assert max(moved) > 5 * TRAIN.learning_rate
    assert max(moved) < 20 * 10 * 1.5 * TRAIN.learning_rate  # ten steps


OTHERS = {
    "transformers": lambda folder: AutoModelForSequenceClassification.from_pretrained(folder),
    "its pipelines": lambda folder: pipeline("text-classification", folder),
    "CrossEncoder": lambda folder: sentence_transformers().CrossEncoder(folder, device="cpu"),
    "SentenceTransformer": lambda folder: sentence_transformers().SentenceTransformer(folder, device="cpu"),
}


def sentence_transformers() -> Any:
    return pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")


@pytest.mark.parametrize("library", OTHERS)
def test_no_other_library_loads_a_checkpoint(
    model: BertForSegmentCosine, fetched_model: Path, tmp_path: Path, library: str
) -> None:
    """They would add a head of random weights, or pool it like another model."""
    save_model(model, fetched_model, tmp_path)
    with pytest.raises(ValueError, match="model type `cord19_ranker_segment_cosine`"):
        OTHERS[library](str(tmp_path))


def test_cross_encoder_of_sentence_transformers_reads_a_classifiers_checkpoint(
    fetched_plain_model: Path, tmp_path: Path
) -> None:
    pairs = [("masks in wards", "Masks and gloves"), ("origin of the virus", "Bats")]
    classifier = new_classifier(fetched_plain_model, 3).eval()
    save_model(classifier, fetched_plain_model, tmp_path)
    theirs = sentence_transformers().CrossEncoder(str(tmp_path), device="cpu")
    found = theirs.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    queries, documents = (tokenize(load_tokenizer(fetched_plain_model), side) for side in zip(*pairs, strict=True))
    expected = logits(classifier, lay_out(load_layout(fetched_plain_model, 32, 96), queries, documents))
    assert found == pytest.approx(expected, abs=1e-5)
