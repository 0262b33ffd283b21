"""ranker.project.preflight: installed versions against pinned ones."""

from importlib.metadata import version
from pathlib import Path

import pytest

from ranker.project import preflight
from ranker.project.preflight import say_other_versions
from tests.factories import ROOT


def test_say_other_versions_names_each_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "PINS", Path("pins.txt"))
    monkeypatch.chdir(tmp_path)
    torch = version("torch").partition("+")[0]  # a chip's local version suffix is ignored
    Path("pins.txt").write_text(f"# why\nnumpy==0.1\ntorch=={torch}  # why\nno-such-package==1.2\n--index-url x\n")
    say_other_versions("train")
    assert capsys.readouterr().out.splitlines() == [
        f"train: warning: expected numpy 0.1 (pins.txt), found {version('numpy')}",
        "train: warning: expected no-such-package 1.2 (pins.txt), found none",
    ]


def test_requirements_pin_what_outputs_are_made_by() -> None:
    pins = (ROOT / preflight.PINS).read_text().splitlines()
    for name in ("torch", "transformers", "onnxruntime", "numpy", "tokenizers"):
        assert any(line.startswith(f"{name}==") for line in pins), name
