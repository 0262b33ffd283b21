"""Python runs this file at its start where its folder is on PYTHONPATH: it records what a stage reads of params.yaml.

Appends a line `STAGE SECTION.NAME` to the file that RECORDED names, for each value that a stage's process read. Of the
cross-validation, a stage is called crossval/NAME.
"""

import atexit
import os
import re
import sys
from pathlib import Path


def stage(arguments: list[str]) -> str:
    """The stage that a command line runs, or nothing."""
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
    VALIDATE = {PROJECT / "params.py", PROJECT / "preflight.py"}  # which decide nothing of the outputs

    read: set[str] = set()
    loaded: set[int] = set()  # sections of params.yaml; others a stage makes up for itself
    plain = Section.__getattribute__

    def validates() -> bool:
        """Whether who asks for a value is one of VALIDATE."""
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
