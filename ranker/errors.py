"""A user's mistake costs one clear line and a non-zero exit, never a traceback."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn


class InputError(Exception):
    """Something the user gave is wrong; the message names where, what was expected and what was found."""


def run_stage(name: str, main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and exit: 0 when it worked, 1 with one line for a user's mistake, 130 when interrupted."""
    try:
        main()
    except InputError as error:
        sys.exit(f"{name}: {' '.join(str(error).split())}")
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain when it ends
        sys.exit(1)
    except OSError as error:
        if error.filename is None:  # not about a file that the user could mend
            raise
        sys.exit(f"{name}: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
