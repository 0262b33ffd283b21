"""nDCG@10 over the number of training queries: is more judging worth it?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ranker.evaluation.stacks import measure_stack
from ranker.metrics.comparison import JudgementsPoint, MoreJudgements
from ranker.metrics.interval import interval
from ranker.metrics.ranking import MAIN
from ranker.stack.stack import Stack


def over_judgements(
    judged: pd.DataFrame, hits: Mapping[float, pd.DataFrame], stacks: Sequence[Stack], training_queries: float
) -> MoreJudgements | None:
    """The curve of each stack over shares of `training_queries`, and what the last step gave; None for one share.

    `hits` are those of the measured queries by models that were trained on a share, 1 for all. The step is the paired
    difference between the two largest shares, of the stack with the highest mean.
    """
    if len(hits) < 2:
        return None
    shares = sorted(hits)
    values = {
        stack.name: {share: measure_stack(judged, {0: hits[share]}, stack).values(MAIN)[0] for share in shares}
        for stack in stacks
    }
    curve: list[JudgementsPoint] = [
        {"stack": name, "queries": training_queries * share, **_interval(by_share[share], 0)}
        for name, by_share in values.items()
        for share in shares
    ]
    best = max(values, key=lambda name: values[name][shares[-1]].mean())
    step = values[best][shares[-1]] - values[best][shares[-2]]
    few, many = (training_queries * share for share in shares[-2:])
    return {"curve": curve, "stack": best, "from": few, "to": many, **_interval(step, -1)}


def _interval(values: np.ndarray, lowest: float) -> dict[str, float]:
    found = interval(values, lowest)
    return {"mean": found.mean, "low": found.low, "high": found.high}
