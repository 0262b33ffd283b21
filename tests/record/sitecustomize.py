"""Python runs this file at its start where its folder is on PYTHONPATH: it records what a stage reads of params.yaml.

Appends a line `STAGE SECTION.NAME` to the file that RECORDED names, for each value that a stage's process read.
"""

import atexit
import os
import sys
from pathlib import Path

STAGE = next((argument for argument in sys.orig_argv if argument.startswith("stages.")), "")

if STAGE:
    sys.path.insert(0, str(Path.cwd()))
    from ranker.project.params import Params, Section

    read: set[str] = set()
    plain = Section.__getattribute__

    def recording(self: Section, name: str) -> object:
        if name in type(self).model_fields and not isinstance(self, Params):
            read.add(f"{type(self).__name__.lower()}.{name}")
        return plain(self, name)

    def write() -> None:
        with Path(os.environ["RECORDED"]).open("a") as file:
            file.writelines(f"{STAGE.removeprefix('stages.')} {name}\n" for name in sorted(read))

    Section.__getattribute__ = recording  # type: ignore[method-assign]
    atexit.register(write)
