"""The evaluation of judged pairs and of the served rankings, for one split or for cross-validation's seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import pandas as pd

from ranker.common.errors import InputError
from ranker.contract.folder import CONTRACT_FILE
from ranker.contract.layout import read_contract
from ranker.contract.stacks import trains_retriever
from ranker.evaluation.reranking import compare_hits, depth_curve, measure_hits, orders, smallest_depth
from ranker.metrics.comparison import Compared, Comparison, Cut, Decided, Reranked, Slice, Undefined
from ranker.metrics.ranking import (
    MAIN,
    expected_measures,
    first_ten,
    has_no_order,
    mean_measures,
    ranking_measures,
    relevant_queries,
)
from ranker.metrics.significance import Tables, compare_systems
from ranker.metrics.systems import BASELINES, EXPORTED, ONCE, SEEDED, opponents
from ranker.metrics.verdict import deciding_table, fully_judged, without_stand_ins
from ranker.project import paths, tables
from ranker.project.params import Params
from ranker.stacks.hits import candidates, ranks_as_found
from ranker.stacks.shipped import shipped_stack
from ranker.stacks.table import Measured, measure_column, measure_stack, stacks_of
from ranker.stacks.weights import fitted

NO_ORDER = "it gives equal scores to all documents of each query, which would rank them by their ids"

# The same pairs or hits for each seed of training, with a column of scores for each system; one split is one seed.
# Only SEEDED systems' scores and hits depend on the seed.
Runs = Mapping[int, pd.DataFrame]


@dataclass(frozen=True)
class Measures:
    """Each system's measures per query, and the reason for each system left out."""

    tables: dict[str, Tables]
    left_out: dict[str, str]

    @property
    def means(self) -> dict[str, pd.DataFrame]:
        """One table for each system, with each query's mean over seeds."""
        return {name: mean_over_seeds(by_seed) for name, by_seed in self.tables.items()}


@dataclass(frozen=True)
class Served:
    """The evaluation of the served rankings."""

    comparison: Reranked
    means: dict[str, pd.DataFrame]  # each system's measures per query, means over seeds
    curve: pd.DataFrame  # over depth
    judged: pd.DataFrame  # the judged pairs that measure it
    ordered: pd.DataFrame  # each system's order of the hits, of the first seed
    stacks: list[Measured]
    firsts: pd.DataFrame  # name, seed, query_id, document_id: the first ten of each compared system and stack


@dataclass(frozen=True)
class Evaluation:
    """Judged pairs of the measured queries, their measures, the served rankings, and the comparison."""

    comparison: Comparison
    judged: pd.DataFrame  # of the first seed
    measures: Measures
    served: Served | None


def evaluate(pairs: Runs, hits: Runs, params: Params, folds: Mapping[str, int] | None = None) -> Evaluation:
    """Compare all systems on the judged pairs, on those of unseen documents and, if there are hits, as served.

    Judged pairs are `fully_judged` ones, of queries with a relevant one; served rankings are of all such queries.
    `pairs` have query_id, document_id, grade, relevant, judged, unseen and scores; `hits` have tables.HIT's columns and
    scores.
    With `folds`, by query, the table of stacks also has weights that are chosen on the other folds. InputError if the
    cross-encoder gives equal scores to all documents of each query.
    """
    relevant = {name: relevant_queries(run) for name, run in pairs.items()}
    judged = {name: fully_judged(run) for name, run in relevant.items()}
    (every, first), seed = (next(iter(runs.values())) for runs in (relevant, judged)), params.split.seed
    measures = measure_pairs(judged)
    if "cross_encoder" in measures.left_out:
        raise InputError("cross_encoder: expected scores that order documents, found equal ones for each query")
    served = rerank(every, hits, params, folds) if hits else None
    comparison: Comparison = {
        **compare_pairs(measures, first, seed),
        "left_out": measures.left_out,
        "queries_left_out": every["query_id"].nunique() - first["query_id"].nunique(),
        "unseen_documents": compare_slice({name: run[run["unseen"]] for name, run in judged.items()}, seed),
        **decide(served),
    }
    return Evaluation(comparison, first, measures, served)


def decide(served: Served | None) -> Decided:
    """The served rankings' comparison, if queries are held out, and the table that gives the verdict."""
    if served is None:
        return {"decides": {"table": "judged", "system": None, "judged": None}}
    return {"reranked": served.comparison, "decides": deciding_table(served.comparison)}


def measure_stacks(judged: pd.DataFrame, hits: Runs, params: Params, folds: Mapping[str, int] | None) -> list[Measured]:
    """The rows of the table of stacks; the last ones are references.

    With `folds`, also the hybrids with weights chosen on the other folds, and the tutorial's order of BM25's hits.
    """
    shipped, first = shipped_stack(params), next(iter(hits.values()))
    stacks = stacks_of(first, shipped)
    rows = [measure_stack(judged, hits, stack) for stack in stacks]
    if folds is not None:
        chosen = [stack for stack in stacks if stack.first_stage == "hybrid" and stack.order != "cross_encoder"]
        rows += [fitted(judged, hits, stack, folds, f"{stack.name}, fitted") for stack in chosen]
    if "tutorial" in first:
        rows.append(measure_column(judged, hits, replace(shipped, first_stage="bm25"), "tutorial"))
    return [*rows, measure_column(judged, hits, shipped, "perfect")]


def measure_pairs(runs: Runs) -> Measures:
    """Measures of each system that scored the pairs, and of a random order.

    Every query must have a relevant pair (`relevant_queries`).
    """
    first = next(iter(runs.values()))
    columns = {name: _seeds_of(name, runs) for name in (*EXPORTED, *BASELINES, *ONCE) if name in first}
    tables: dict[str, Tables] = {}
    left_out: dict[str, str] = {}
    for name, by_seed in columns.items():
        if all(has_no_order(run, run[name].to_numpy()) for run in by_seed.values()):
            left_out[name] = NO_ORDER
        else:
            tables[name] = {seed: ranking_measures(run, run[name].to_numpy()) for seed, run in by_seed.items()}
    return Measures(tables | {"random": {next(iter(runs)): expected_measures(first)}}, left_out)


def compare_pairs(measures: Measures, judged: pd.DataFrame, seed: int) -> Compared:
    """Compare the cross-encoder with all others; withhold the verdict if `judged` has unjudged stand-ins."""
    compared = compare_systems(measures.tables, opponents("judged"), seed)
    return {**compared, "headline": without_stand_ins(compared["headline"], judged)}


def compare_slice(pairs: Runs, seed: int) -> Slice:
    """`compare_pairs` on some pairs; only their counts for one query, or if the cross-encoder gives no order."""
    runs = {name: relevant_queries(run) for name, run in pairs.items()}
    first = next(iter(runs.values()))
    counts: Slice = {"queries": first["query_id"].nunique(), "pairs": len(first)}
    measures = measure_pairs(runs) if counts["queries"] > 1 else None  # one query tells nothing of others
    if measures is None or "cross_encoder" in measures.left_out:
        return counts
    return {**counts, **compare_pairs(measures, first, seed)}


def rerank(run: pd.DataFrame, hits: Runs, params: Params, folds: Mapping[str, int] | None = None) -> Served:
    """Evaluate the served rankings: the first stage's best hits, reordered.

    `run` are judged pairs of queries with a relevant one; unjudged stand-ins are left out. Where a retriever finds the
    hits, each seed has its own, and each system's measures are those of all seeds.
    """
    judged, stack = run[run["judged"]].reset_index(drop=True), shipped_stack(params)
    of_judged = {seed: rows[rows["query_id"].isin(judged["query_id"])] for seed, rows in hits.items()}
    every = {seed: rows.reset_index(drop=True) for seed, rows in of_judged.items()}
    inside = {seed: candidates(rows, stack) for seed, rows in every.items()}
    runs = {seed: rows.assign(rank=ranks_as_found(rows, stack)) for seed, rows in inside.items()}
    deepest = 2 * stack.depth  # of a hybrid's hits
    measured = {seed: measure_hits(judged, rows, deepest, stack.depth) for seed, rows in runs.items()}
    known = [name for name in next(iter(measured.values())) if all(name in by for by in measured.values())]
    seeds = {name: runs if trains_retriever(stack.first_stage) else _seeds_of(name, runs) for name in known}
    tables: dict[str, Tables] = {name: {seed: measured[seed][name] for seed in of} for name, of in seeds.items()}
    means = Measures(tables, {}).means
    compared = compare_hits(tables, params.split.seed)
    deep = [rows.assign(rank=ranks_as_found(rows, stack)).dropna(subset="rank") for rows in every.values()]
    curve = depth_curve(judged, [rows.reset_index(drop=True) for rows in deep])
    comparison: Reranked = {
        "first_stage": params.first_stage.retriever,
        "count": stack.depth,
        "systems": compared["systems"],
        "differences": compared["differences"],
        "headline": compared["headline"],
        "perfect": mean_measures(means["perfect"]),
        "smallest_depth": smallest_depth(curve),
    }
    ordered = {seed: orders(judged, rows, deepest) for seed, rows in runs.items()}
    stacks = measure_stacks(judged, every, params, folds)
    first = next(iter(ordered.values()))
    return Served(comparison, means, curve, judged, first, stacks, first_tens(ordered, stacks))


def first_tens(ordered: Runs, stacks: Sequence[Measured]) -> pd.DataFrame:
    """The first ten of each query, by seed, of the verdict's systems, then of the stacks that are no reference.

    `ordered` are each seed's hits, with a column of scores for each system. Returns name, seed, query_id, document_id.
    """
    parts = []
    for name, (seed, rows) in product(("cross_encoder", *opponents("reranked")), ordered.items()):
        parts.append(first_ten(rows, rows[name].to_numpy()).assign(name=name, seed=seed))
    for each, seed in product([each for each in stacks if not each.reference], ordered):
        parts.append(each.firsts[seed].assign(name=each.name, seed=seed))
    return pd.concat(parts, ignore_index=True)


def mean_over_seeds(by_seed: Tables) -> pd.DataFrame:
    """The mean over seeds of each query's measures."""
    if len(by_seed) == 1:
        return next(iter(by_seed.values()))
    return pd.concat(by_seed.values()).groupby("query_id", sort=False).mean().reset_index()


def undefined(whole: pd.DataFrame, run: pd.DataFrame, measures: Measures) -> Undefined:
    """Counts of queries, measured (`run`) and of all pairs (`whole`), and the systems left out, with reasons."""
    relevant = relevant_queries(whole)
    return {
        "queries": run["query_id"].nunique(),
        "queries_without_a_relevant_pair": whole["query_id"].nunique() - relevant["query_id"].nunique(),
        "queries_with_stand_ins": relevant.loc[~relevant["judged"], "query_id"].nunique(),
        "left_out": measures.left_out,
    }


def cut_audit(run: pd.DataFrame) -> Cut:
    """Count texts and pairs that exceed the contract's sizes, and measure the effect of truncation.

    The effect is in the fp32 model's mean nDCG@10 with truncation (column cross_encoder) and without (column uncut).
    """
    layout = read_contract(paths.RANKER / CONTRACT_FILE)
    queries, documents = tables.token_counts(run)
    query_cut, document_cut = queries > layout.max_query_tokens, documents > layout.max_document_tokens
    found: Cut = {
        "queries": run["query_id"].nunique(),
        "queries_cut": int(run.loc[query_cut, "query_id"].nunique()),
        "documents_cut": int(run.loc[document_cut, "document_id"].nunique()),
        "pairs_cut": int((query_cut | document_cut).sum()),
    }
    if found["pairs_cut"]:
        judged = relevant_queries(run)
        cut, uncut = (ranking_measures(judged, judged[name].to_numpy())[MAIN] for name in ("cross_encoder", "uncut"))
        found |= {"nDCG@10": float(cut.mean()), "nDCG@10_uncut": float(uncut.mean())}
    return found


def _seeds_of(system: str, runs: Runs) -> Runs:
    """The runs that measure a system: all for SEEDED ones, the first for others."""
    seed = next(iter(runs))
    return runs if system in SEEDED else {seed: runs[seed]}
