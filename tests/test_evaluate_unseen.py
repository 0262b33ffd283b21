"""stages.evaluate: the comparison over documents that training has not seen."""

import pandas as pd

from stages.evaluate import compare_unseen

RUN = pd.DataFrame(
    {
        "query_id": ["1", "2"],
        "document_id": ["a", "b"],
        "grade": [1, 1],
        "relevant": [True, True],
        "cross_encoder": [0.5, 0.7],
        "bm25": [1.0, 2.0],
        "base_cosine": [0.1, 0.2],
    }
)


def test_compare_unseen_counts_alone_where_each_query_has_one_document() -> None:
    """There is no order to measure."""
    assert compare_unseen(RUN, ["cross_encoder", "bm25", "base_cosine"], 13) == {"queries": 2, "pairs": 2}
    assert compare_unseen(RUN[:0], ["cross_encoder", "bm25", "base_cosine"], 13) == {"queries": 0, "pairs": 0}
