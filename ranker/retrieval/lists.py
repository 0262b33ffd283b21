"""The lists of hits that a first stage joins: without the query itself, and joined with each hit's ranks."""

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from ranker.project import paths, tables
from ranker.project.alike import itself, with_readings
from ranker.project.documents import read_some_tokens
from ranker.project.tables import IDS
from ranker.retrieval.hits import first_ranks


def listed(hits: pd.DataFrame, depth: int, stage: str) -> pd.DataFrame:
    """The first `depth` hits of each query, ranked from 1, without those that are the query itself by id and text.

    `hits` are sorted, best first. Prints the number of hits that are left out.
    """
    same = hits[hits["query_id"] == hits["document_id"]]
    asked = tables.read_as(tables.read_tokens(paths.ENCODED_QUERIES))
    texts = tables.read_as(read_some_tokens(pa.array(same["document_id"], pa.string())))
    left_out = same.index[itself(with_readings(same, asked, texts))]
    if len(left_out):
        print(f"{stage}: {len(left_out)} hits are the query itself, by id and text, and are left out")
    return first_ranks(hits.drop(left_out), depth)


def join_lists(lists: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The hits of all lists, once each: query_id, document_id, and for each list NAME_rank (Int32, null where absent).

    `lists` are tables of hits with ranks. Rows are sorted by query, in the order of first appearance, and by id.
    """
    joined = pd.DataFrame(columns=IDS, dtype=str)
    for name, hits in lists.items():
        ranked = hits[[*IDS, "rank"]].rename(columns={"rank": f"{name}_rank"})
        ranked = ranked.astype({**dict.fromkeys(IDS, str), f"{name}_rank": "Int32"})  # an empty list has no types
        joined = joined.merge(ranked, how="outer", on=IDS)
    place = pd.factorize(pd.concat([hits["query_id"] for hits in lists.values()]))[1]
    joined = joined.assign(place=place.get_indexer(joined["query_id"]))
    return joined.sort_values(["place", "document_id"], ignore_index=True).drop(columns="place")
