"""Commands of README.md and docs/, and recipes of the Makefile, for tests that run them."""

import re
from pathlib import Path

from tests.factories import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> list[str]:
    """The command lines of a document's bash blocks, with continued lines joined and comments removed."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


COMMANDS = [line for document in DOCUMENTS for line in commands(document)]


def command(start: str) -> str:
    """The documents' command that equals this text, or else the one that starts with it."""
    found = {line for line in COMMANDS if line == start} or {line for line in COMMANDS if line.startswith(start)}
    assert len(found) == 1, f"expected one command that starts with {start!r}, found {sorted(found)}"
    return found.pop()


def recipe(target: str) -> list[str]:
    """The commands of `make TARGET` after installation, with this Python first on the PATH."""
    found = re.search(rf"(?m)^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert found is not None, f"the Makefile has no {target}"
    return [line.strip().removeprefix("@").replace("$(BIN)/", "") for line in found[1].splitlines()]
