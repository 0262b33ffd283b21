"""Record the params.yaml values that a stage reads; Python runs this file at start if its folder is on PYTHONPATH.

Appends a line `STAGE SECTION.NAME` to the file named by RECORDED for each value that a stage's process reads. A stage
of the cross-validation is called crossval/NAME.
"""

import atexit
import os
import re
import sys
from pathlib import Path


def stage(arguments: list[str]) -> str:
    """The stage that a command line runs, or None."""
    for module, recipe in zip(arguments, [*arguments[1:], ""], strict=True):
        package, _, name = module.partition(".")
        if package == "stages":
            return name
        if package == "crossval":
            return f"crossval/{recipe if name == 'train' else name}"
    return ""


def section(name: str) -> str:
    """The name in params.yaml of a section of a class's name.

    >>> section("FirstStage")
    'first_stage'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


STAGE = stage(sys.orig_argv)

if STAGE and "RECORDED" in os.environ:
    sys.path.insert(0, str(Path.cwd()))
    from ranker.project import params
    from ranker.project.params import Section

    PROJECT = Path(params.__file__).parent
    VALIDATE = {PROJECT / "params.py", PROJECT / "preflight.py"}  # params that do not affect outputs

    read: set[str] = set()
    loaded: set[int] = set()  # sections of params.yaml; a stage constructs others itself
    plain = Section.__getattribute__

    def validates() -> bool:
        """True if the caller that reads a value is one of VALIDATE."""
        return Path(sys._getframe(2).f_code.co_filename) in VALIDATE

    def recording(self: Section, name: str) -> object:
        value = plain(self, name)
        if isinstance(value, Section):
            loaded.add(id(value))
        elif id(self) in loaded and name in type(self).model_fields and not validates():
            read.add(f"{section(type(self).__name__)}.{name}")
        return value

    def write() -> None:
        with Path(os.environ["RECORDED"]).open("a") as file:
            file.writelines(f"{STAGE} {name}\n" for name in sorted(read))

    Section.__getattribute__ = recording  # type: ignore[assignment,method-assign]
    atexit.register(write)
