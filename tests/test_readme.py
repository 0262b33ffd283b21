"""README.md and docs/: every command is run by a test or by .ci/run."""

import re
from pathlib import Path

import pytest

from tests.factories import ROOT
from tests.readme import COMMANDS, command

CI = (ROOT / ".ci/run").read_text()
ACTIVATE = "source .venv/bin/activate"  # changes a shell's PATH only, as the tests do themselves


def test_commands_are_each_run_by_a_test_or_by_ci() -> None:
    source = "".join(file.read_text() for file in (ROOT / "tests").rglob("*.py") if file != Path(__file__))
    starts = [start for _, start in re.findall(r"""\bcommand\((["'])(.+?)\1\)""", source)]
    made = {f"make {target}" for target in re.findall(r'\brecipe\("([^"]+)"\)', source)}
    assert len(COMMANDS) > 30
    for line in COMMANDS:
        by_test = line in made or any(line.startswith(start) for start in starts)
        assert by_test or line == ACTIVATE or f"{line} " in CI.replace("\n", " "), line


def test_command_is_the_one_that_reads_so_or_starts_so() -> None:
    assert command("dvc metrics show") == "dvc metrics show"
    assert command("dvc metrics show results/train").endswith("metrics.json")
    with pytest.raises(AssertionError, match="expected one command that starts with 'dvc metrics', found"):
        command("dvc metrics")
