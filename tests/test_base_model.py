"""ranker.base.base_model from a folder, an installed package and a stand-in hub; unusable models are refused."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from pytest_httpserver import HTTPServer
from tokenizers import Tokenizer

from ranker.base.base_model import FILES, fetch_base_model, folder_digest
from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.contract.tokens import load_layout, load_tokenizer, tokenize
from tests.factories import PARAMS, refusal
from tests.hub import REVISION, serve_model


@pytest.fixture
def source(base_model: Path, tmp_path: Path) -> Path:
    """A copy of the base model that a test may spoil."""
    return Path(shutil.copytree(base_model, tmp_path / "source"))


def names(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


WHOLE = ["config.json", "model.safetensors", "sentence_encoder.json", "tokenizer.json", "tokenizer_config.json"]
ASKED = {"1_Pooling/config.json", "config.json", "model.safetensors", "modules.json", *WHOLE[3:]}


def fetch(source: Path, destination: Path) -> None:
    fetch_base_model(f"path:{source}", destination, folder_digest(source))


def test_fetch_base_model_from_a_folder(source: Path, tmp_path: Path) -> None:
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    fetch(source, tmp_path / "model")
    assert names(tmp_path / "model") == WHOLE
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "model" / name).read_bytes() == (source / name).read_bytes()


def test_folder_digest_hashes_the_output_of_sha256sum(source: Path) -> None:
    """The digest covers the files that are taken, in the order of FILES, and no others."""
    (source / "README.md").write_text("not taken")
    present = [name for name in FILES if (source / name).is_file()]
    assert set(present) == ASKED
    printed = subprocess.run(["sha256sum", *present], cwd=source, capture_output=True).stdout
    assert folder_digest(source) == hashlib.sha256(printed).hexdigest()


@pytest.mark.parametrize("name", sorted(ASKED))
def test_folder_digest_sees_every_file_that_is_taken(source: Path, name: str) -> None:
    before = folder_digest(source)
    with (source / name).open("ab") as file:
        file.write(b" ")
    changed = folder_digest(source)
    (source / name).unlink()
    assert len({before, changed, folder_digest(source)}) == 3


def test_fetch_base_model_prints_the_digest_that_is_missing_or_wrong(source: Path, tmp_path: Path) -> None:
    """One line is ready to paste and then accepted; if the folder changes later, it is refused."""
    found, destination = folder_digest(source), tmp_path / "model"
    where = f"path:{source}: fetch.base_sha256: expected"
    missing = refusal(fetch_base_model, f"path:{source}", destination, "")
    why = "its digest, because DVC cannot watch what a name stands for"
    assert missing == f"{where} {why}, found {found}"
    fetch_base_model(f"path:{source}", destination, found)
    before = names(destination)
    (source / "tokenizer_config.json").write_text((source / "tokenizer_config.json").read_text() + "\n")
    wrong = refusal(fetch_base_model, f"path:{source}", destination, found)
    assert wrong == f"{where} {found}, found {folder_digest(source)}"
    assert names(destination) == before == WHOLE


def test_fetch_base_model_lets_no_text_spell_a_special_token(source: Path, tmp_path: Path) -> None:
    """Brackets in a title are words; the tokenizer file's own truncation and padding are off."""
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    vocabulary, text = tokenizer.get_vocab(), "[PAD] masks[SEP] [CLS]"
    special = {vocabulary[token] for token in ("[PAD]", "[SEP]", "[CLS]")}
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(source / "tokenizer.json"))
    assert special & set(tokenizer.encode(text, add_special_tokens=False).ids)
    fetch(source, tmp_path / "model")
    plain = Tokenizer.from_file(str(tmp_path / "model/tokenizer.json"))
    (found,) = tokenize(plain, [text])
    assert not special & set(found)
    assert found == tokenize(plain, ["[ PAD ] masks [ SEP ] [ CLS ]"])[0]
    assert plain.truncation is None
    assert plain.padding is None
    ordinary = "Survival of the virus on steel & glass, 2020"
    assert tokenize(plain, [ordinary]) == tokenize(load_tokenizer(source), [ordinary])


def test_fetch_base_model_from_a_package_runs_none_of_its_code(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "tiny_bert_files"
    shutil.copytree(source, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    fetch_base_model("package:tiny_bert_files", tmp_path / "model", folder_digest(source))
    assert names(tmp_path / "model") == WHOLE
    assert "tiny_bert_files" not in sys.modules


def test_fetch_base_model_of_the_sample_has_the_published_digest(tmp_path: Path) -> None:
    fetch_base_model(PARAMS.fetch.base_model, tmp_path / "model", PARAMS.fetch.base_sha256)
    digest = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # from the model's page on the hub
    assert sha256(tmp_path / "model/model.safetensors") == digest
    assert json.loads((tmp_path / "model/sentence_encoder.json").read_text()) == {
        "is_one": True,
        "pooling": "mean",
        "include_prompt": True,
        "query_prompt": "",
        "document_prompt": "",
        "max_length": 256,
    }
    layout = load_layout(tmp_path / "model", 32, 96)
    assert (layout.cls_id, layout.sep_id, layout.pad_id) == (101, 102, 0)
    assert tokenize(load_tokenizer(tmp_path / "model"), ["coronavirus origin"]) == [[21887, 23350, 4761]]


def test_fetch_base_model_makes_a_tokenizer_of_a_vocabulary(source: Path, tmp_path: Path) -> None:
    expected = tokenize(load_tokenizer(source), ["Masks & ÄRZTE in 2020"])
    vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
    (source / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    (source / "tokenizer.json").unlink()
    (source / "tokenizer_config.json").unlink()
    fetch(source, tmp_path / "model")
    assert names(tmp_path / "model") == WHOLE
    assert tokenize(load_tokenizer(tmp_path / "model"), ["Masks & ÄRZTE in 2020"]) == expected
    assert load_layout(tmp_path / "model", 32, 96).cls_id == vocabulary["[CLS]"]


@pytest.fixture
def hub(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A server in the hub's place. The client reads HF_ENDPOINT when it is imported, so its constants are patched."""
    before, endpoint = huggingface_hub.constants.ENDPOINT, httpserver.url_for("").rstrip("/")
    for name in ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE"):
        url = getattr(huggingface_hub.constants, name)
        assert url.startswith(before)
        monkeypatch.setattr(huggingface_hub.constants, name, url.replace(before, endpoint, 1))
    return httpserver


def test_fetch_base_model_from_the_hub(hub: HTTPServer, source: Path, tmp_path: Path) -> None:
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    serve_model(hub, "google/tiny", source, fail_once="model.safetensors")
    fetch_base_model(f"hub:google/tiny@{REVISION}", tmp_path / "model", folder_digest(source))
    assert names(tmp_path / "model") == WHOLE
    assert sha256(tmp_path / "model/model.safetensors") == sha256(source / "model.safetensors")
    asked = {request.path for request, _ in hub.log if "/resolve/" in request.path}
    assert asked == {f"/google/tiny/resolve/{REVISION}/{name}" for name in ASKED}
    assert 503 in {response.status_code for _, response in hub.log}


@pytest.mark.parametrize(
    ("reference", "truncate"),
    [
        (f"hub:google/other@{REVISION}", ""),
        (f"hub:google/tiny@{'f' * 40}", ""),
        (f"hub:google/tiny@{REVISION}", "model.safetensors"),
    ],
)
def test_fetch_base_model_leaves_the_last_one_where_the_hub_fails(
    hub: HTTPServer, source: Path, tmp_path: Path, reference: str, truncate: str
) -> None:
    serve_model(hub, "google/tiny", source, truncate)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("the last good one")
    with pytest.raises(InputError, match=f"^{reference}: expected a model on the hub, found: "):
        fetch_base_model(reference, tmp_path / "model", "0" * 64)
    assert names(tmp_path / "model") == ["old"]


def test_fetch_base_model_refuses_more_than_a_file_may_have(
    hub: HTTPServer, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model(hub, "google/tiny", source)
    monkeypatch.setattr("ranker.base.base_model.MAX_BYTES", 100_000)
    size = (source / "model.safetensors").stat().st_size
    message = f"found: model.safetensors of {size} bytes, and at most 100000 were expected$"
    assert re.search(message, refusal(fetch_base_model, f"hub:google/tiny@{REVISION}", tmp_path / "model", "0" * 64))
    assert {request.method for request, _ in hub.log if "/resolve/" in request.path} == {"HEAD"}
    assert not (tmp_path / "model").exists()
