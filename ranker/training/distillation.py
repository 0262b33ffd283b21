"""What to teach a cross-encoder before any judgement: the base model's cosine, on queries made of titles' words."""

import numpy as np
import pandas as pd
from scipy.special import expit

from ranker.project.tables import Embeddings

TITLES = 8  # titles to each made-up query: half of them near it, half by chance
NEAREST = 30  # by cosine: what "near" is drawn from
WORDS = (2, 6)  # of a made-up query, least and most: TREC-COVID's have 2 to 8
STEEPNESS = 2.0  # of the probability over cosines in standard deviations: one above the mean teaches 0.88


def made_up_queries(titles: list[str], count: int, seed: int) -> list[str]:
    """Runs of a few words, each from a title drawn by chance; titles without words are passed over.

    >>> made_up_queries(["Masks"], 2, seed=13)
    ['Masks', 'Masks']
    """
    random = np.random.default_rng(seed)
    words = [title.split() for title in titles if title.split()]
    queries = []
    for row in random.integers(len(words), size=count):
        length = min(int(random.integers(WORDS[0], WORDS[1] + 1)), len(words[row]))
        start = int(random.integers(len(words[row]) - length + 1))
        queries.append(" ".join(words[row][start : start + length]))
    return queries


def teaching_pairs(queries: Embeddings, documents: Embeddings, seed: int) -> pd.DataFrame:
    """Pairs of each query with TITLES documents: query_id, document_id, cosine and target.

    The target, float32, is the probability that the cross-encoder is taught: the cosine's, through a logistic curve
    around the mean of all pairs.
    """
    random = np.random.default_rng(seed)
    ids = np.array(list(documents.index))
    near, chance = min(NEAREST, len(ids)), min(TITLES // 2, len(ids))
    rows = []
    for query_id, row in queries.index.items():
        cosines = documents.values @ queries.values[row]
        nearest = np.argpartition(-cosines, near - 1)[:near]
        picked = np.union1d(
            random.choice(np.sort(nearest), min(TITLES - TITLES // 2, near), replace=False),
            random.choice(len(ids), chance, replace=False),
        )
        rows.append(pd.DataFrame({"query_id": query_id, "document_id": ids[picked], "cosine": cosines[picked]}))
    pairs = pd.concat(rows, ignore_index=True)
    spread = pairs["cosine"].std() or 1.0
    return pairs.assign(
        target=expit(STEEPNESS * (pairs["cosine"] - pairs["cosine"].mean()) / spread).astype(np.float32)
    )
