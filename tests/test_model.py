"""Cross-encoder: what is trainable, what a head is made of, and how it is trained."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import kendalltau
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.contract.layout import Layout, lay_out
from ranker.metrics.ranking import ranking_measures
from ranker.model.cross_encoder import load_checkpoint, new_cross_encoder, set_trainable
from ranker.model.dataset import EncodedPairs, encode_pairs
from ranker.model.hardware import resolve_precision
from ranker.model.predict import score
from ranker.project.params import Train
from ranker.project.tables import pack
from ranker.training.curves import EvalLogger
from ranker.training.trainer import BucketSampler, collator, fine_tune

PARAMS = Train(
    launcher="python",
    trainable="all",
    epochs=2,
    batch_size=8,
    eval_batch_tokens=256,
    learning_rate=1e-3,
    warmup_steps=2,
    weight_decay=0.01,
    seed=13,
    precision="fp32",
)


def weights(model: BertForSequenceClassification) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def trained(model: BertForSequenceClassification) -> set[str]:
    """Module names, two levels deep below bert, of weights that are trained."""
    names = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
    return {".".join(name.split(".")[:4]) if "layer" in name else ".".join(name.split(".")[:2]) for name in names}


def test_what_is_trained(base_model: Path) -> None:
    head = {"classifier.weight", "classifier.bias"}
    expected = {
        "head": head,
        "top-1": head | {"bert.pooler", "bert.encoder.layer.1"},
        "top-2": head | {"bert.pooler", "bert.encoder.layer.0", "bert.encoder.layer.1"},
        "all": head | {"bert.pooler", "bert.encoder.layer.0", "bert.encoder.layer.1", "bert.embeddings"},
    }
    for trainable, modules in expected.items():
        model = new_cross_encoder(base_model, 0)
        set_trainable(model, trainable)
        assert trained(model) == modules, trainable


def test_frozen_modules_have_no_dropout(base_model: Path) -> None:
    model = new_cross_encoder(base_model, 0).train()
    set_trainable(model, "head")
    inputs = {name: torch.from_numpy(array) for name, array in lay_out(PAIR_LAYOUT, [[7, 8]], [[9]]).items()}
    with torch.no_grad():
        assert torch.equal(model.bert(**inputs).pooler_output, model.bert(**inputs).pooler_output)
    assert model.dropout.p > 0


PAIR_LAYOUT = Layout(16, 24, cls_id=2, sep_id=3, pad_id=0)


def test_the_head_follows_the_seed_and_the_base_is_the_files(base_model: Path) -> None:
    first, again, other = (weights(new_cross_encoder(base_model, seed)) for seed in (1, 1, 2))
    expected = load_file(base_model / "model.safetensors")
    assert all(torch.equal(first[f"bert.{name}"], tensor) for name, tensor in expected.items())
    assert all(torch.equal(first[name], again[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert differing == {"classifier.weight"}


def test_a_checkpoint_comes_back_as_it_was(base_model: Path, tmp_path: Path) -> None:
    model = new_cross_encoder(base_model, 7)
    model.save_pretrained(tmp_path)
    again = load_checkpoint(tmp_path)
    assert not again.training
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(model).items())


def test_the_head_of_another_task_is_left_behind(base_model: Path, tmp_path: Path) -> None:
    """A cross-encoder with one logit, as those trained on MS MARCO have, is a base model like any other."""
    config = BertConfig.from_pretrained(base_model, num_labels=1, problem_type="regression")
    other = BertForSequenceClassification(config)
    other.save_pretrained(tmp_path)
    model = new_cross_encoder(tmp_path, 7)
    assert torch.equal(weights(model)["bert.pooler.dense.weight"], weights(other)["bert.pooler.dense.weight"])
    assert weights(model)["classifier.weight"].shape == (2, 32)
    assert torch.equal(
        weights(model)["classifier.weight"], weights(new_cross_encoder(base_model, 7))["classifier.weight"]
    )
    assert model.config.problem_type == "single_label_classification"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: [name for name in names if "pooler" not in name], "found none for pooler.dense.bias and 1 more"),
        (lambda names: [name for name in names if "layer.0" not in name], "found none for encoder.layer.0."),
        (lambda names: [*names, "encoder.layer.2.output.dense.bias"], "has a place for, found encoder.layer.2.output"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    base_model: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    """transformers alone would draw what is missing at random, and say so in a log."""
    whole = load_file(base_model / "model.safetensors")
    names = change(list(whole))
    save_file(
        {name: whole.get(name, torch.zeros(32)) for name in names}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    (tmp_path / "config.json").write_bytes((base_model / "config.json").read_bytes())
    with pytest.raises(InputError, match=message):
        new_cross_encoder(tmp_path, 7)


def test_a_model_that_diverges_is_named(base_model: Path, tmp_path: Path) -> None:
    model = new_cross_encoder(base_model, 7)
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(InputError, match="training diverged: expected finite logits"):
        fine_tune(model, make_pairs(4), PARAMS, EvalLogger(*make_data(2), 1, tmp_path / "curves"))
    with pytest.raises(InputError, match="training diverged: expected finite logits"):
        score(model, make_pairs(2), 256)


def test_several_gpus_need_a_process_each(base_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(InputError, match=r"train\.launcher: expected torchrun.*found python and 2 GPUs"):
        fine_tune(new_cross_encoder(base_model, 7), make_pairs(2), PARAMS)


def test_auto_precision_is_the_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for capabilities, expected in (
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, "fp32"),
        ({}, "fp32"),  # other architectures
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert resolve_precision("auto") == expected
        assert resolve_precision("fp32") == "fp32"
        assert resolve_precision("bf16") == "bf16"


def make_pairs(queries: int, seed: int = 0) -> EncodedPairs:
    return make_data(queries, seed)[1]


def make_data(queries: int, seed: int = 0) -> tuple[pd.DataFrame, EncodedPairs]:
    """Ten pairs a query; a document is relevant when its first token is 60, and else it is 61."""
    random = np.random.default_rng(seed)
    rows, query_tokens, document_tokens = [], [], []
    for query in range(queries):
        tokens = random.integers(10, 60, 4)
        for i in range(10):
            label = int(i < 4)
            document = random.integers(62, 110, random.integers(3, 20))
            document[0] = 60 if label else 61
            rows.append((f"q{query}", f"d{query}-{i}", label, label))
            document_tokens.append(document)
        query_tokens.append(tokens)
    pairs = pd.DataFrame(rows, columns=["query_id", "document_id", "grade", "label"])
    texts = pack(pairs["query_id"].unique(), query_tokens), pack(pairs["document_id"], document_tokens)
    return pairs, encode_pairs(pairs, *texts, PAIR_LAYOUT)


def train(base_model: Path, curves: Path, **changes: object) -> BertForSequenceClassification:
    params = PARAMS.model_copy(update=changes)
    model = new_cross_encoder(base_model, params.seed)
    set_trainable(model, params.trainable)
    fine_tune(model, make_pairs(20), params, EvalLogger(*make_data(6, seed=1), 1, curves))
    return model


@pytest.mark.parametrize("trainable", ["head", "top-1", "all"])
def test_training_moves_just_what_is_trainable(base_model: Path, tmp_path: Path, trainable: str) -> None:
    before = weights(new_cross_encoder(base_model, PARAMS.seed))
    after = weights(train(base_model, tmp_path / "curves", trainable=trainable))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    model = new_cross_encoder(base_model, 0)
    set_trainable(model, trainable)
    may_move = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert {"classifier.weight", "classifier.bias"} <= moved <= may_move
    assert len(moved) > len(may_move) / 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 3),
        ("batch_size", 16),
        ("learning_rate", 2e-3),
        ("warmup_steps", 20),
        ("weight_decay", 0.5),
        ("seed", 14),
        ("precision", "bf16"),
    ],
)
def test_every_parameter_reaches_the_weights(base_model: Path, tmp_path: Path, name: str, value: object) -> None:
    usual = weights(train(base_model, tmp_path / "usual"))
    changed = weights(train(base_model, tmp_path / "changed", **{name: value}))
    layer = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(usual[layer], changed[layer])


def test_training_learns_and_writes_its_curves(base_model: Path, tmp_path: Path) -> None:
    train(base_model, tmp_path / "curves", epochs=8)
    curves = {
        file.relative_to(tmp_path / "curves/plots/metrics").with_suffix("").as_posix(): pd.read_csv(file, sep="\t")
        for file in (tmp_path / "curves").rglob("*.tsv")
    }
    loss = curves["eval/loss"]["loss"]
    assert loss.iloc[-1] < 0.9 * loss.iloc[0]
    assert curves["eval/nDCG@10"]["nDCG@10"].iloc[-1] > curves["eval/nDCG@10"]["nDCG@10"].iloc[0]
    assert curves["eval/loss"]["step"].tolist() == list(range(0, 8 * 25 + 1, 25))
    assert curves["training/learning_rate"]["learning_rate"].max() <= PARAMS.learning_rate
    assert not [name for name in curves if "runtime" in name or "per_second" in name]


def test_looking_at_held_out_pairs_changes_nothing(base_model: Path, tmp_path: Path) -> None:
    """Cross-validation trains without looking; the weights have to be those of the pipeline's own run."""
    looking = train(base_model, tmp_path / "curves")
    blind = new_cross_encoder(base_model, PARAMS.seed)
    set_trainable(blind, PARAMS.trainable)
    fine_tune(blind, make_pairs(20), PARAMS)
    assert all(torch.equal(tensor, weights(looking)[name]) for name, tensor in weights(blind).items())


def test_a_model_trained_in_bf16_scores_in_fp32(base_model: Path, tmp_path: Path) -> None:
    model = train(base_model, tmp_path / "curves", precision="bf16")
    model.save_pretrained(tmp_path / "model")
    again = score(load_checkpoint(tmp_path / "model"), make_pairs(3), 256)
    assert score(model, make_pairs(3), 256) == pytest.approx(again, abs=1e-6)


def test_scores_are_those_of_single_pairs(base_model: Path) -> None:
    model, pairs = new_cross_encoder(base_model, 7).eval(), make_pairs(3)
    together = score(model, pairs, 256)
    one = collator(PAIR_LAYOUT)([pairs[17]])
    logits = model(**{name: one[name] for name in ("input_ids", "token_type_ids", "attention_mask")}).logits[0]
    assert together.shape == (30,)
    assert together[17] == pytest.approx((logits[1] - logits[0]).item(), abs=1e-5)


def test_the_last_layer_reads_the_first_token_alone(base_model: Path) -> None:
    """Logits and gradients are those of transformers' own model."""
    model = new_cross_encoder(base_model, 7).eval()
    plain = BertForSequenceClassification.from_pretrained(base_model, num_labels=2).eval()
    plain.load_state_dict(model.state_dict())
    batch = collator(PAIR_LAYOUT)([make_pairs(2)[row] for row in range(20)])
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    found, expected = model(**inputs).logits, plain(**inputs).logits
    assert found.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)
    for logits in (found, expected):
        (logits[:, 1] - logits[:, 0]).sum().backward()
    gradients = {name: tensor.grad for name, tensor in plain.named_parameters()}
    for name, tensor in model.named_parameters():
        torch.testing.assert_close(tensor.grad, gradients[name], atol=1e-4, rtol=1e-3)
    assert model(**inputs).hidden_states is None
    assert model.bert(**inputs).last_hidden_state.shape[1] == 1


def test_bf16_ranks_as_fp32_does(base_model: Path, tmp_path: Path) -> None:
    """By nDCG@10 and Kendall's tau, of a model that has learned what to tell apart; and no two scores are equal."""
    model = train(base_model, tmp_path / "curves", epochs=8)
    frame, pairs = make_data(20, seed=2)
    exact, rounded = score(model, pairs, 256, "fp32"), score(model, pairs, 256, "bf16")
    assert not np.array_equal(exact, rounded)
    assert kendalltau(exact, rounded).statistic > 0.95
    assert len(np.unique(rounded)) == len(rounded)
    found = [ranking_measures(frame, scores, 1)["nDCG@10"].mean() for scores in (exact, rounded)]
    assert found[0] == pytest.approx(found[1], abs=0.01)


def test_equal_arguments_give_equal_bytes(base_model: Path, tmp_path: Path) -> None:
    digests = []
    for attempt in ("first", "again"):
        model = train(base_model, tmp_path / attempt / "curves")
        model.save_pretrained(tmp_path / attempt / "model")
        files = sorted(file for file in (tmp_path / attempt).rglob("*") if file.is_file())
        digests.append({file.relative_to(tmp_path / attempt): sha256(file) for file in files})
    assert digests[0] == digests[1]
    assert len(digests[0]) > 5


def test_the_trainer_goes_through_other_batches_each_epoch(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[int]] = []
    original = BucketSampler.__iter__

    def record(sampler: BucketSampler) -> Iterator[int]:
        orders.append(list(original(sampler)))
        return iter(orders[-1])

    monkeypatch.setattr(BucketSampler, "__iter__", record)
    train(base_model, tmp_path / "curves", epochs=3)
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(200)) for order in orders)


def test_batches_are_laid_out_with_their_labels() -> None:
    examples = [(np.array([7, 8]), np.array([9]), 1), (np.array([7]), np.arange(10, 16), 0)]
    batch = collator(PAIR_LAYOUT)(examples)
    assert batch["labels"].tolist() == [1, 0]
    assert batch["input_ids"].shape == (2, 16)  # 11 tokens, rounded up to a multiple of 8
    assert batch["input_ids"][0, :6].tolist() == [2, 7, 8, 3, 9, 3]
