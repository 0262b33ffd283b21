"""A user's mistake or a full disk ends in one clear line and a non-zero exit, without a traceback."""

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

# Messages of a full disk from C, Rust (safetensors), torch and SQLite (DVC under DVCLive). Some are not OSErrors.
UNWRITTEN = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|PytorchStreamWriter failed writing|disk I/O error"
    r"|database or disk is full"
)

LONGEST = 1000  # characters of a message, which may quote a whole cell


class InputError(Exception):
    """A mistake in the user's input; the message gives the place, the expected value and the actual one."""


def run_stage(name: str, main: Callable[[], None], params: Path | None = Path("params.yaml")) -> NoReturn:
    """Run a stage's `main` and exit: 0 when it worked, 1 with one line for a user's mistake, 130 when interrupted.

    A second line names the `params` that differ from the last commit, because a refused trial leaves them there.
    """
    try:
        main()
    except InputError as error:  # every training process raises it, and the main one prints it
        if not is_main_process():
            time.sleep(1)  # else torchrun stops the main process before it prints
            sys.exit(1)
        sys.exit(f"{name}: {one_line(str(error))[:LONGEST]}{_leftovers(params)}")
    except BrokenPipeError:  # the reader of the output has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
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
    """Pydantic's first error in this project's form: place, expected, found.

    `expected` replaces pydantic's own wording, because a pattern alone says too little.
    """
    detail = error.errors(include_url=False)[0]
    places = [str(place) for place in detail["loc"]]
    message = detail["msg"].replace("Input should be", "expected").replace("Field required", "expected a value")
    if detail["type"] == "json_invalid":
        return detail["msg"].replace("Invalid JSON:", "expected JSON, found:")
    if places and places[-1] in ("str", "int"):  # ids may be either, and pydantic reports each type
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
    r"""Text as one line without control characters, safe to print on a terminal.

    >>> one_line("Bats\n and \x1b[31mbirds")
    'Bats and [31mbirds'
    """
    return "".join(character for character in " ".join(text.split()) if character.isprintable())
