"""The curve over judgements: nDCG@10 by the number of training queries."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from ranker.metrics.comparison import JudgementsPoint, MoreJudgements
from ranker.metrics.ranking import MAIN
from ranker.stack.stack import Stack
from ranker.stacks.table import as_mean, measure_stack


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
    values: dict[str, dict[float, np.ndarray]] = {stack.name: {} for stack in stacks}
    for stack, share in product(stacks, shares):
        values[stack.name][share] = measure_stack(judged, {0: hits[share]}, stack).values(MAIN)[0]
    curve: list[JudgementsPoint] = []
    for name, by_share in values.items():
        for share in shares:
            found = as_mean(by_share[share], lowest=0)
            curve.append({"stack": name, "queries": training_queries * share, **found})
    best = max(values, key=lambda name: values[name][shares[-1]].mean())
    step = as_mean(values[best][shares[-1]] - values[best][shares[-2]], lowest=-1)
    few, many = (training_queries * share for share in shares[-2:])
    return {"curve": curve, "stack": best, "from": few, "to": many, **step}
