"""Stage hub: folders that other tools load, whose scores are ours, and cards that say what was measured.

tests/engines/test_hub.py loads them with tools that have an environment of their own.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ranker.common.files import read_json, sha256, write_json
from ranker.contract.folder import IDLE_FILE
from ranker.contract.layout import INPUTS, Layout, lay_out
from ranker.contract.tokens import load_tokenizer
from ranker.hub.folders import HUB_FILES, write_ranker
from ranker.hub.truncation import read_otherwise
from ranker.metrics.verdict import NOT_MEASURED
from ranker.model.cross_encoder import new_classifier, save_model
from ranker.project import paths
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from tests.cards import Texts, blocks, fitting, own_scores, with_own
from tests.factories import Run, run_stages, set_params
from tests.readme import command

MADE = (paths.HUB_RANKER, paths.HUB_RETRIEVER)


def run_block(folder: Path, tool: str, values: Texts) -> dict[str, Any]:
    """Run a tool's block of a folder's card in this process, with other texts; return its variables."""
    language, code = blocks(folder / "README.md")[tool]
    found: dict[str, Any] = {}
    exec(with_own(language, code, values), found)
    return found


@pytest.fixture(scope="module")
def checkpoint(fetched_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of `ranker_folder`, which has a plain classification head."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(new_classifier(fetched_model, seed=5), fetched_model, folder)
    return folder


@pytest.fixture(scope="module")
def plain(ranker_folder: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's folder of a cross-encoder with a plain head."""
    folder = tmp_path_factory.mktemp("plain") / "ranker"
    write_ranker(ranker_folder, checkpoint, folder)
    return folder


def test_cross_encoder_of_sentence_transformers_gives_our_scores(plain: Path, ranker_folder: Path) -> None:
    peer = pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
    model = peer.CrossEncoder(str(plain), device="cpu")
    assert (model.num_labels, model.max_length) == (1, 128)
    ranker = Ranker(ranker_folder)
    pairs = fitting(ranker)
    expected = own_scores(ranker, pairs)
    found = model.predict(pairs, show_progress_bar=False)
    assert expected.min() < 0 < expected.max()  # no sigmoid
    np.testing.assert_allclose(found, expected, atol=1e-4)
    titles = ["Masks in wards", "The origin of the virus in bats", "Vaccines", "Bats and birds"]
    order = [row["corpus_id"] for row in model.rank("masks and bats", titles)]
    assert order == [row for row, _ in ranker.rank("masks and bats", titles)]


@pytest.mark.parametrize("model", ["fp32", "int8"])
def test_first_logit_is_the_score(plain: Path, ranker_folder: Path, model: Any) -> None:
    """The folder's own tokenizer gives a pair the contract's tokens."""
    ranker = Ranker(ranker_folder, model)
    tokenizer = load_tokenizer(plain)
    session = onnxruntime.InferenceSession(plain / HUB_FILES[model])
    for query, document in fitting(ranker):
        pair = tokenizer.encode(query, document)
        values = (pair.ids, pair.type_ids, pair.attention_mask)
        inputs = {name: np.array([ids]) for name, ids in zip(INPUTS, values, strict=True)}
        expected = lay_out(ranker.layout, [ranker.encode_query(query)], ranker.encode_documents([document]))
        for name, array in expected.items():
            np.testing.assert_array_equal(inputs[name], array)
        (score,) = session.run(None, inputs)[0][0]
        (ours,) = ranker.score_unbatched(ranker.encode_query(query), ranker.encode_documents([document]))
        assert score == ours


def test_folders_are_what_the_hub_expects(plain: Path, checkpoint: Path) -> None:
    files = sorted(file.relative_to(plain).as_posix() for file in plain.rglob("*") if file.is_file())
    settings = ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert files == sorted([*settings, "model.safetensors", "onnx/model.onnx", "onnx/model_quantized.onnx"])
    config = read_json(plain / "config.json")
    assert (config["model_type"], config["architectures"]) == ("bert", ["BertForSequenceClassification"])
    assert config["sentence_transformers"]["activation_fn"].endswith("Identity")
    assert read_json(plain / "tokenizer_config.json")["model_max_length"] == 128
    cut = read_json(plain / "tokenizer.json")["truncation"]
    assert cut == {"direction": "Right", "max_length": 128, "strategy": "OnlySecond", "stride": 0}
    two, one = (load_file(folder / "model.safetensors") for folder in (checkpoint, plain))
    np.testing.assert_array_equal(one["classifier.weight"], two["classifier.weight"][1:] - two["classifier.weight"][:1])
    assert one["classifier.bias"].shape == (1,)


def test_folders_of_equal_models_have_equal_bytes(
    plain: Path, ranker_folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    write_ranker(ranker_folder, checkpoint, tmp_path / "again")
    for file in (tmp_path / "again").rglob("*.*"):
        assert sha256(file) == sha256(plain / file.relative_to(tmp_path / "again"))


@given(st.data())
def test_read_otherwise_counts_what_tokenizers_would_cut(base_model: Path, data: st.DataObject) -> None:
    """The real tokenizer cuts pairs of one-letter words; it gives other tokens than the contract in so many."""
    layout = Layout(*data.draw(st.tuples(st.integers(3, 9), st.integers(2, 9))), cls_id=2, sep_id=3, pad_id=0)
    sizes = data.draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20))
    tokenizer = load_tokenizer(base_model)
    tokenizer.enable_truncation(layout.max_length)  # longest_first, as all tools' default
    (word,) = tokenizer.encode("a", add_special_tokens=False).ids
    differ = 0
    for query, document in sizes:
        ids = tokenizer.encode("a " * query, "a " * document).ids
        differ += ids != lay_out(layout, [[word] * query], [[word] * document])["input_ids"][0].tolist()
    queries, documents = (np.array(side) for side in zip(*sizes, strict=True))
    assert read_otherwise(layout, queries, documents) == differ


@pytest.mark.parametrize("kind", ["ranker", "retriever"])
def test_cards_come_back_as_they_were_measured(copy: Path, kind: str) -> None:
    card = ModelCard.load(copy / paths.HUB / kind / "README.md")
    assert ModelCardData(**card.data.to_dict()).to_dict() == card.data.to_dict()
    system = {"ranker": "cross_encoder", "retriever": "retriever"}[kind]
    (result,) = card.data.eval_results
    assert result.metric_value == round(read_json(paths.METRICS / f"{system}.json")["nDCG@10"], 4)
    assert (card.data.license, card.data.language, card.data.base_model) == ("unknown", "en", None)
    assert card.data.library_name == {"ranker": "transformers.js", "retriever": "sentence-transformers"}[kind]
    table = read_json(paths.COMPARISON)["stacks"]["rows"]
    for name, row in table.items():
        mean = row["measures"]["nDCG@10"]
        assert f"| {mean['mean']:.3f} | {mean['low']:.3f} to {mean['high']:.3f} |" in card.text
        assert f"| {name}" in card.text
    assert f"{read_json(paths.MANIFEST)['collection']['judgements']:,} judgements" in card.text
    assert card.text.count("```") == 2 * len(blocks(copy / paths.HUB / kind / "README.md")) == 8


def test_blocks_of_cards_give_our_scores(copy: Path) -> None:
    """Blocks of the tools that are installed here; a head of segment means has no weights for others."""
    assert not (paths.HUB_RANKER / "model.safetensors").exists()
    ranker, retriever = Ranker(paths.RANKER), Retriever(paths.RETRIEVER)
    pairs = fitting(ranker)
    scores = run_block(paths.HUB_RANKER, "ONNX Runtime and tokenizers", pairs)["scores"]
    np.testing.assert_allclose(scores, own_scores(ranker, pairs), atol=1e-4)
    np.testing.assert_array_equal(np.argsort(-scores), np.argsort(-own_scores(ranker, pairs)))
    texts = [*dict.fromkeys(text for pair in pairs for text in pair)]
    vectors = retriever.embed_documents(texts)
    for tool in ("ONNX Runtime and tokenizers", "sentence-transformers"):
        if tool == "sentence-transformers":
            pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
        np.testing.assert_allclose(run_block(paths.HUB_RETRIEVER, tool, texts)["vectors"], vectors, atol=1e-4)


def digests(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): sha256(file) for file in folder.rglob("*") if file.is_file()}


def test_hub_lists_its_files_and_writes_equal_bytes(copy: Path) -> None:
    before = digests(paths.HUB)
    assert read_json(paths.HUB / "manifest.json")["files"] == {
        name: digest for name, digest in before.items() if name != "manifest.json"
    }
    run_stages("hub")
    assert digests(paths.HUB) == before


def test_card_of_a_model_that_was_not_measured_says_so(copy: Path) -> None:
    set_params(copy, split__held_out="none")
    write_json(paths.COMPARISON, {"headline": {"verdict": NOT_MEASURED}})
    run_stages("hub")
    for folder in MADE:
        card = ModelCard.load(folder / "README.md")
        assert card.data.eval_results is None
        assert "No figure, because all queries were trained on" in card.text
        assert "95% interval" not in card.text


def test_card_of_a_plain_head_loads_it_in_pytorch(copy: Path, ranker_folder: Path, checkpoint: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
    for source, target in ((checkpoint, paths.CHECKPOINT), (ranker_folder, paths.RANKER)):
        for file in source.iterdir():
            if file.name != "manifest.json":
                shutil.copyfile(file, target / file.name)
    run_stages("hub")
    ranker = Ranker(ranker_folder)
    pairs = fitting(ranker)
    scores = run_block(paths.HUB_RANKER, "sentence-transformers", pairs)["scores"]
    np.testing.assert_allclose(scores, own_scores(ranker, pairs), atol=1e-4)
    card = ModelCard.load(paths.HUB_RANKER / "README.md")
    assert card.data.library_name == "sentence-transformers"
    assert "`model.safetensors`" in card.text
    assert "ONNX alone" not in card.text


def test_card_leaves_out_what_is_not_there(copy: Path) -> None:
    """Leave out, in turn, int8 models, the table of stacks, and the retriever."""
    for folder in (paths.RANKER, paths.RETRIEVER):
        (folder / "model.int8.onnx").unlink(missing_ok=True)
    compared = read_json(paths.COMPARISON)
    write_json(paths.COMPARISON, {name: value for name, value in compared.items() if name != "stacks"})
    run_stages("hub")
    for folder in MADE:
        text = (folder / "README.md").read_text()
        assert "none passed its gate" in text
        assert "model_quantized" not in text
        assert "no whole search was measured" in text
        assert not (folder / HUB_FILES["int8"]).exists()
    shutil.rmtree(paths.RETRIEVER)
    paths.RETRIEVER.mkdir()
    write_json(paths.RETRIEVER / IDLE_FILE, {"first_stage.retriever": "bm25"})
    run_stages("hub")
    assert digests(paths.HUB_RETRIEVER) == digests(paths.RETRIEVER)


def test_a_release_brings_folders_that_load(project: Path, run: Run, tmp_path: Path) -> None:
    run("gto register cord19-ranker-hub --version v0.1.0", project)
    run(command("dvc artifacts get $REPOSITORY cord19-ranker-hub"), tmp_path, REPOSITORY=str(project))
    found = digests(tmp_path / paths.HUB)
    assert found == digests(project / paths.HUB)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        ranker = run_block(paths.HUB_RANKER, "ONNX Runtime and tokenizers", [("masks", "Masks in wards")])
        retriever = run_block(paths.HUB_RETRIEVER, "ONNX Runtime and tokenizers", ["Masks in wards"])
    assert np.isfinite(ranker["scores"]).all()
    np.testing.assert_allclose(np.linalg.norm(retriever["vectors"], axis=1), 1, atol=1e-6)
