"""Rank and world size from torchrun's environment: 0 and 1 without torchrun.

Imports no torch, because stages read the rank before they import it.
"""

import os


def is_main_process() -> bool:
    """True in the process that writes and logs."""
    return _from_torchrun("RANK", 0) == 0


def world_size() -> int:
    """Number of training processes on all machines."""
    return _from_torchrun("WORLD_SIZE", 1)


def _from_torchrun(name: str, alone: int) -> int:
    """Some schedulers set RANK for a single process, so check torchrun's own variable first."""
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else alone
