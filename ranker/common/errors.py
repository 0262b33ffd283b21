"""A user's mistake costs one clear line and a non-zero exit, never a traceback; so does a full disk."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ranker.common.distributed import is_main_process
from ranker.common.leftovers import changed_params

if TYPE_CHECKING:  # serving has no pydantic
    from pydantic import ValidationError

# What a full disk makes of writing, in the words of C and Rust (safetensors), of torch and of SQLite (DVC under
# DVCLive), whose errors are not OSErrors.
UNWRITTEN = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|PytorchStreamWriter failed writing|disk I/O error"
    r"|database or disk is full"
)

LONGEST = 1000  # characters of a message, which may quote a whole cell


class InputError(Exception):
    """Something the user gave is wrong; the message names where, what was expected and what was found."""


def run_stage(name: str, main: Callable[[], None], params: Path | None = Path("params.yaml")) -> NoReturn:
    """Run a stage's `main` and exit: 0 when it worked, 1 with one line for a user's mistake, 130 when interrupted.

    A second line names the `params` that differ from the last commit, because a refused trial leaves them there.
    """
    try:
        main()
    except InputError as error:  # which each of a training's processes finds: one of them says it
        if not is_main_process():
            time.sleep(1)  # or torchrun would stop the one that says it
            sys.exit(1)
        sys.exit(f"{name}: {one_line(str(error))[:LONGEST]}{_leftovers(params)}")
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain when it ends
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if UNWRITTEN.search(str(error)):
            sys.exit(f"{name}: expected to write its outputs, found: {one_line(str(error))[:LONGEST]}")
        if isinstance(error, OSError) and error.filename is not None:  # a file that the user can mend
            sys.exit(f"{name}: {one_line(str(error.filename))}: {error.strerror}{_leftovers(params)}")
        raise
    sys.exit(0)


def _leftovers(params: Path | None) -> str:
    names = changed_params(params) if params else []
    if not names:
        return ""
    listed = one_line(", ".join(names))[:LONGEST]
    return f"\n{params} differs from the last commit in {listed} (git checkout {params} takes it back)"


def first_mistake(error: "ValidationError", expected: str | None = None) -> str:
    """The first thing that pydantic has against a value, as this project says it: where, expected, found.

    `expected` replaces what pydantic expects, where a pattern says too little.
    """
    detail = error.errors(include_url=False)[0]
    places = [str(place) for place in detail["loc"]]
    message = detail["msg"].replace("Input should be", "expected").replace("Field required", "expected a value")
    if detail["type"] == "json_invalid":
        return detail["msg"].replace("Invalid JSON:", "expected JSON, found:")
    if places and places[-1] in ("str", "int"):  # ids are either, and pydantic tells of one after the other
        places = places[:-1]
        message = "expected a valid string or integer"
    where = ".".join(places) or "the file"
    if detail["type"] == "value_error":  # ours; it names expected and found
        return f"{where}.{detail['ctx']['error']}"
    if detail["type"] == "extra_forbidden":
        return f"{where}: no such parameter"
    found = "none" if detail["type"] == "missing" and expected is None else repr(detail["input"])[:80]
    return f"{where}: {f'expected {expected}' if expected else message}, found {found}"


def one_line(text: str) -> str:
    r"""Text, which may be that of data, as one line that does nothing to a terminal.

    >>> one_line("Bats\n and \x1b[31mbirds")
    'Bats and [31mbirds'
    """
    return "".join(character for character in " ".join(text.split()) if character.isprintable())
