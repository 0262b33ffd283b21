"""The README's commands, for tests that run them."""

import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = [
    command.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for command in block.strip().splitlines()
]


def command(start: str) -> str:
    """The README's command that reads so, or else the one that starts so."""
    (found,) = [line for line in COMMANDS if line == start] or [line for line in COMMANDS if line.startswith(start)]
    return found
