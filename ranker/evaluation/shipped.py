"""Score judged pairs with the exported models, in the way that each is used."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

from ranker.contract.folder import MODEL_FILES
from ranker.project import paths
from ranker.serving.ranker import Ranker


def shipped_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> pd.DataFrame:
    """Scores, float32, of `cross_encoder` and, where the folder has it, `cross_encoder_int8`, in the order of `run`.

    From texts, as a user gives them. The fp32 model scores a query's documents in batches, as Ranker.score does; the
    int8 one each pair by itself, as Vespa does: rounding makes a score depend on what else is in its batch. `queries`
    has query_id and query, `documents` document_id and title.
    """
    texts = queries.set_index("query_id")["query"], documents.set_index("document_id")["title"]
    ranker = Ranker(paths.RANKER)
    scores = {"cross_encoder": _by_query(run, *texts, ranker, ranker.score)}
    if (paths.RANKER / MODEL_FILES["int8"]).is_file():
        ranker = Ranker(paths.RANKER, "int8")
        scores["cross_encoder_int8"] = _by_query(run, *texts, ranker, ranker.score_unbatched)
    return pd.DataFrame(scores, run.index)


def _by_query(
    run: pd.DataFrame,
    queries: "pd.Series[str]",
    titles: "pd.Series[str]",
    ranker: Ranker,
    score: Callable[..., np.ndarray],
) -> np.ndarray:
    scores = np.empty(len(run), np.float32)
    groups = run.groupby("query_id", sort=False).indices
    for query_id, rows in tqdm(groups.items(), desc="score", unit="query", disable=None):
        documents = ranker.encode_documents(titles[run["document_id"].iloc[rows]].tolist())
        scores[rows] = score(ranker.encode_query(queries[str(query_id)]), documents)
    return scores
