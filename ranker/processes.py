"""Which of a training's processes this is: torchrun tells each by its environment; alone, it is the first of one.

Imports nothing: a stage asks before it imports torch.
"""

import os


def is_first() -> bool:
    """Whether this process writes and logs."""
    return int(os.environ.get("RANK", "0")) == 0


def count() -> int:
    """How many processes train together, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))
