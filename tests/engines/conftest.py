"""The tests of this folder need Maven, a JDK and the engines' artifacts."""

import os

import pytest

from engines import harness


def require(found: bool, missing: str) -> None:
    """Skip with one line where something is missing; fail if ENGINES=required, as in CI."""
    if not found:
        (pytest.fail if os.environ.get("ENGINES") == "required" else pytest.skip)(missing)


@pytest.fixture(scope="session", autouse=True)
def _at_hand() -> None:
    try:
        harness.jdk()
        harness.build()
    except harness.MissingError as missing:
        require(False, str(missing))
