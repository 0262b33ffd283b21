"""DVC's own commands, bare, in a clone without a cross-validation: each succeeds with output that a person can read."""

from pathlib import Path

import pytest

from tests.factories import Run

COLUMNS = 160
# The output of each if nothing has changed. `dvc exp show` is too wide: DVC prints a column for every metric and every
# parameter and leaves the width to its pager, so README has a line for it.
WIDE = ("dvc dag", "dvc exp show")  # DVC leaves them to a pager: a column for each param, and a graph of 16 stages
SAYS = {
    "dvc status": "Data and pipelines are up to date.",
    "dvc checkout": "",
    "dvc pull": "Everything is up to date.",
    "dvc push": "Everything is up to date.",
    "dvc metrics show": "results/metrics/cross_encoder.json",
    "dvc metrics diff": "",
    "dvc params diff": "",
    "dvc plots show": "dvc_plots/index.html",
    "dvc dag": "evaluate",
    "dvc exp show": "workspace",
}


@pytest.fixture(scope="module")
def remote(project: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """The project with a default remote that has everything."""
    there = tmp_path_factory.mktemp("remote")
    run(f"dvc remote add --default there {there} && git commit -qam remote && cp -r .dvc/cache/files {there}", project)
    return project


@pytest.mark.parametrize("line", SAYS)
def test_dvc_bare_succeeds_and_fits_a_screen(remote: Path, run: Run, line: str) -> None:
    shown = run(line, remote)
    assert "ERROR" not in shown.stderr
    assert "WARNING" not in shown.stderr
    assert SAYS[line] in shown.stdout
    assert (shown.stdout.strip() == "") == (SAYS[line] == "")
    if line not in WIDE:
        assert max(map(len, shown.stdout.splitlines()), default=0) <= COLUMNS
