"""Score judged pairs with the exported models, in the way that each is used."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

from ranker.contract.folder import MODEL_FILES
from ranker.project import paths, tables
from ranker.serving.ranker import Ranker


def shipped_scores(run: pd.DataFrame) -> pd.DataFrame:
    """Scores, float32, of `cross_encoder` and, where the folder has it, `cross_encoder_int8`, in the order of `run`.

    The fp32 model scores a query's documents in batches, as Ranker.score does; the int8 one each pair by itself, as
    Vespa does: rounding makes a score depend on what else is in its batch.
    """
    scores = {"cross_encoder": by_query(run, Ranker(paths.RANKER).score)}
    if (paths.RANKER / MODEL_FILES["int8"]).is_file():
        scores["cross_encoder_int8"] = by_query(run, Ranker(paths.RANKER, "int8").score_unbatched)
    return pd.DataFrame(scores, run.index)


def by_query(run: pd.DataFrame, score: Callable[..., np.ndarray]) -> np.ndarray:
    """Scores, float32 [pairs], by a function of one query's token ids and its documents'."""
    queries = tables.read_tokens(paths.ENCODED_QUERIES)
    documents = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    scores = np.empty(len(run), np.float32)
    groups = run.groupby("query_id", sort=False).indices
    for query_id, rows in tqdm(groups.items(), desc="score", unit="query", disable=None):
        (query,) = queries.rows(pd.Series([query_id]))
        of_query = documents.rows(run["document_id"].iloc[rows])
        scores[rows] = score(queries[query], [documents[document] for document in of_query])
    return scores
