"""Which of a training's processes this is: torchrun tells each by its environment; alone, it is the first of one.

Imports nothing: a stage asks before it imports torch.
"""

import os


def is_main_process() -> bool:
    """Whether this process writes and logs."""
    return _told("RANK", 0) == 0


def world_size() -> int:
    """How many processes train together, on all machines."""
    return _told("WORLD_SIZE", 1)


def _told(name: str, alone: int) -> int:
    """What torchrun says; schedulers of clusters set such variables too, for processes that are alone."""
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else alone
