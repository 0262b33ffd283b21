"""Example results that are hard for a report to show."""

from collections.abc import Hashable
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import pandas as pd

from ranker.project import tables
from ranker.report.page import Results
from ranker.report.release import LastRelease, Version
from ranker.stack.stack import Stack

HOSTILE = """</script><script>document.title = 'owned'</script>{{ 7 * 7 }} "quoted" <b>\u2028\x1b[31m"""
HOSTILE_TITLE = """<img src=x onerror="document.title = 'owned'">"""
LONG = "unbroken" * 12
DOCUMENTS = [f"d{i:02}" for i in range(1, 13)]


def measured(mean: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high} | more


COMPARISON: Any = {
    "systems": {
        "cross_encoder": {"nDCG@10": measured(0.489, 0.431, 0.546), "AP": measured(0.545, 0.491, 0.602)},
        "bm25": {"nDCG@10": measured(0.411, 0.352, 0.468), "AP": measured(0.487, 0.433, 0.541)},
        "base_cosine": {"nDCG@10": measured(0.437, 0.371, 0.501), "AP": measured(0.501, 0.44, 0.56)},
        "random": {"nDCG@10": measured(0.2, 0.161, 0.243)},
    },
    "differences": {
        "bm25": {
            "nDCG@10": measured(0.078, 0.012, 0.141, p=0.0234, p_holm=0.0468, verdict="better"),
            "AP": measured(-0.0581, -0.107, -0.009, p=0.0301, p_holm=0.0301, verdict="worse"),
        },
        "base_cosine": {
            "nDCG@10": measured(0.052, -0.013, 0.117, p=0.0741, p_holm=0.0741, verdict="no significant difference"),
        },
        "random": {"nDCG@10": measured(0.289, 0.221, 0.346, p=0.0001, p_holm=0.0003, verdict="better")},
    },
    "headline": {"verdict": "no significant difference", "strongest": "base_cosine", "from": ["base_cosine"]},
    "seeds": {"cross_encoder": {"nDCG@10": {"13": 0.489, "14": 0.518, "15": 0.472, "spread": 0.0234}}},
    "left_out": {"head_only": "it gives equal scores to all documents"},
    "unseen_documents": {
        "queries": 2,
        "pairs": 1234,
        "systems": {"cross_encoder": {"nDCG@10": measured(0.61, 0.5, 0.72)}},
        "differences": {
            "bm25": {"nDCG@10": measured(0.0314, 0.0041, 0.0596, p=0.0412, p_holm=0.0412, verdict="better")}
        },
    },
}

RERANKED: Any = {
    "first_stage": "base_hybrid",
    "model": "int8",
    "model_bytes": 32_000_000,
    "count": 100,
    "systems": {
        "cross_encoder": {"nDCG@10": measured(0.389, 0.331, 0.446), "Judged@10": measured(0.93, 0.9, 0.96)},
        "base_cosine": {"nDCG@10": measured(0.337, 0.271, 0.401), "Judged@10": measured(0.91, 0.88, 0.94)},
        "first_stage": {"nDCG@10": measured(0.311, 0.252, 0.368), "Judged@10": measured(0.98, 0.97, 0.99)},
    },
    "differences": {
        "base_cosine": {"nDCG@10": measured(0.052, 0.011, 0.093, p=0.0162, p_holm=0.0162, verdict="better")},
        "first_stage": {"nDCG@10": measured(0.0783, 0.0121, 0.1412, p=0.0034, p_holm=0.0068, verdict="better")},
    },
    "headline": {"verdict": "helps", "strongest": "base_cosine", "from": ["base_cosine", "first_stage"]},
    "perfect": {"nDCG@10": 0.8125, "R@100": 0.874},
    "smallest_depth": {"depth": 20.0, "gain": 0.0771, "gain_low": 0.0111, "gain_high": 0.1431},
}
WEIGHTS = {"cross_encoder": 0.25, "cosine": 1.0, "bm25": 0.5}


def stack(first_stage: str, order: str, mean: float, pairs: float = 0.0, reference: bool = False) -> dict[str, Any]:
    """A row of the table of stacks; lists without their unjudged documents have nDCG@10 0.1 higher."""
    means = {"nDCG@10": mean, "RR@10": 0.75, "R@100": 0.625, "Judged@10": 0.93, "nDCG@10, condensed": mean + 0.1}
    return {
        "first_stage": first_stage,
        "order": order,
        "depth": 100,
        "weights": WEIGHTS,
        "cross_encoder_runs": pairs,
        "reference": reference,
        "measures": {name: measured(value, value - 0.05, value + 0.05) for name, value in means.items()},
    }


def differs(stack: str, than: str, mean: float, verdict: str = "better") -> dict[str, Any]:
    return measured(mean, mean - 0.05, mean + 0.04, stack=stack, than=than, spread=0.082, p=0.0123, verdict=verdict)


NO_DIFFERENCE = "no significant difference"
STACKS: Any = {
    "shipped": "hybrid+fused",
    "rows": {
        "bm25": stack("bm25", "as_found", 0.4114),
        "base": stack("base", "as_found", 0.4372),
        "base_hybrid": stack("base_hybrid", "as_found", 0.4416),
        "run": stack("run", "as_found", 0.4018),
        "dense": stack("dense", "as_found", 0.5061),
        "hybrid": stack("hybrid", "as_found", 0.5152),
        "bm25+cross_encoder": stack("bm25", "cross_encoder", 0.4893, 100),
        "base_hybrid+fused": stack("base_hybrid", "fused", 0.4974, 171.4),
        "dense+cross_encoder": stack("dense", "cross_encoder", 0.4931, 100),
        "dense+fused": stack("dense", "fused", 0.5178, 100),
        "hybrid+cross_encoder": stack("hybrid", "cross_encoder", 0.4812, 164.6),
        "hybrid+fused": stack("hybrid", "fused", 0.5203, 164.6),
        "hybrid, fitted": stack("hybrid", "as_found", 0.5141),
        "hybrid+fused, fitted": stack("hybrid", "fused", 0.5214, 131.7),
        "tutorial": stack("bm25", "fused", 0.2118, 100, reference=True),
        "perfect": stack("hybrid", "fused", 0.8125, reference=True),
    },
    "columns": ["nDCG@10"],
    "least_judged": "dense",
    "judged": 0.93,
    "answers": [
        {
            "question": "training",
            "by": {"nDCG@10": differs("hybrid+fused, fitted", "base_hybrid", 0.0798)},
            "agree": True,
        },
        {
            "question": "cross_encoder",
            "by": {"nDCG@10": differs("hybrid+fused, fitted", "hybrid", 0.0062, NO_DIFFERENCE)},
            "agree": True,
        },
    ],
    "best": {"nDCG@10": "hybrid+fused, fitted"},
    "cheapest": {"nDCG@10": "hybrid"},
    "recommended": "hybrid",
    "judgements": {
        "curve": [
            measured(mean, mean - 0.06, mean + 0.06, stack=name, queries=queries)
            for name, means in (("dense", (0.45, 0.48, 0.5061)), ("hybrid", (0.47, 0.49, 0.5152)))
            for queries, mean in zip((10.0, 20.0, 40.0), means, strict=True)
        ],
        "stack": "hybrid",
        "from": 20.0,
        "to": 40.0,
        **measured(0.0252, 0.0041, 0.0463),
    },
}


def timed(table: Any) -> Any:
    """The table with milliseconds a query in each row."""
    rows = {name: row | {"ms": 3.0 + 5.75 * row["cross_encoder_runs"]} for name, row in table["rows"].items()}
    return table | {"rows": rows}


def contradicting(table: Any) -> Any:
    """The table where too little is judged, and the two columns contradict each other."""
    condensed = {"nDCG@10, condensed": differs("dense", "bm25", -0.031, "worse")}
    answers = [each | {"by": each["by"] | condensed, "agree": False} for each in table["answers"]]
    return table | {
        "columns": ["nDCG@10", "nDCG@10, condensed"],
        "judged": 0.412,
        "answers": answers,
        "best": table["best"] | {"nDCG@10, condensed": "dense"},
        "cheapest": table["cheapest"] | {"nDCG@10, condensed": "bm25"},
        "recommended": None,
    }


DEPTHS: list[dict[Hashable, Any]] = [
    dict(zip(("depth", "cross_encoder", "base_cosine", "perfect", "gain", "gain_low", "gain_high"), row, strict=True))
    for row in (
        (0, 0.311, 0.311, 0.311, 0.0, 0.0, 0.0),
        (20, 0.3881, 0.32, 0.7, 0.0771, 0.0111, 0.1431),
        (100, 0.389, 0.337, 0.8125, 0.078, 0.012, 0.144),
    )
]


NOW = Version(
    stack=Stack("hybrid", "fused", 100, WEIGHTS, "en"),
    counts={"queries": 53, "judgements": 3010, "judged_documents": 702},
    data={"data/split/pairs.parquet": "aa" * 32, "data/split/queries.parquet": "bb" * 32},
    params={"fetch.base_sha256": "cd" * 32, "train.epochs": 3, "first_stage.retriever": "hybrid", "join.grades": []},
    bytes=114_123_456,
    ms=61.25,
)
LAST = LastRelease(
    version="0.0.9",
    against="shop-ranker@v0.0.9",
    reason=None,
    stack=Stack("bm25", "cross_encoder", 100, WEIGHTS, "en"),
    counts={"queries": 50, "judgements": 2854, "judged_documents": 702},
    data={"data/split/pairs.parquet": "ee" * 32, "data/split/queries.parquet": "bb" * 32},
    params={"fetch.base_sha256": "cd" * 32, "train.epochs": 2, "first_stage.retriever": "bm25", "train.dropout": 0.1},
    bytes=22_984_123,
    ms=19.5,
)


def paired(stack: str, than: str, mean: float, verdict: str = "better", could_show: float = 0.031) -> Any:
    counts = {"queries": 15, "gains": 7, "losses": 5, "could_show": could_show}
    return differs(stack, than, mean, verdict) | counts


def against(mean: float, verdict: str = "better", **more: Any) -> Any:
    """The shipped stack against the last release, by one column."""
    by = {"nDCG@10": paired("hybrid+fused", "bm25+cross_encoder", mean, verdict)}
    found = {"version": "0.0.9", "stack": "bm25+cross_encoder", "queries": 15, "trained_on": 0, "by": by}
    return found | {"judged": 0.95, "agree": True, "why": None} | more


def example() -> Results:
    """Query 1 has twelve documents and ties, query 2 hostile texts, query 3 a text without a place to break."""
    per_query = pd.DataFrame(
        {
            "query_id": ["3", "2", "1"],
            "query": [f"masks {LONG}", HOSTILE, "masks in wards"],
            "pairs": [1, 2, 12],
            "relevant": [1, 0, 3],
            "cross_encoder nDCG@10": [0.4, 0.2, 0.2],
            "bm25 nDCG@10": [0.7, 0.3, 0.6],
            "base_cosine nDCG@10": [0.9, 0.0, 0.5],
            "gain": [-0.5, 0.2, -0.3],
        }
    )
    run = pd.DataFrame(
        {
            "query_id": ["1"] * 12 + ["2"] * 2 + ["3"],
            "document_id": [*DOCUMENTS, "h1", "h2", LONG],
            "grade": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 1],
            # d06 to d11 are equal in trec_eval's single precision
            "cross_encoder": [7, 8, 6, 5, 4, 1 + 1e-12, 1, 1, 1, 1, 1, 9, 0.5, 0.5, 0.0],
            "bm25": [*range(12, 0, -1), 1, 2, 0.0],
            "base_cosine": [*range(12, 0, -1), 2, 1, 0.0],
        }
    )
    titles = [f"Title of {document}" for document in DOCUMENTS]
    documents = pd.DataFrame(
        {
            "document_id": [*DOCUMENTS, "h1", "h2", LONG, "never shown"],
            "title": [*titles, HOSTILE_TITLE, HOSTILE, LONG, "A title that no top ten has"],
        }
    )
    fields = [*(f"{title} Ward {number}." for number, title in enumerate(titles)), HOSTILE_TITLE, HOSTILE, LONG, ""]
    return Results(
        name="shop-ranker",
        version="0.1.0",
        collection=HOSTILE,
        scope="on this split and seed",
        crossval=False,
        note="Three queries, made for a test.",
        comparison=COMPARISON,
        per_query=per_query,
        run=run.assign(relevant=run["grade"] > 0),
        documents=documents.assign(text=fields),
        curves={
            "reliability": pd.DataFrame(
                {"probability": [0.1, 0.9, None], "relevant_share": [0.2, 0.7, None], "pairs": [9, 6, 0]}
            ),
            "roc": pd.DataFrame({"false_positive_rate": [0.0, 1], "cross_encoder": [0.0, 1], "bm25": [0.3, 1]}),
            "precision_recall": pd.DataFrame({"recall": [0.0, 1], "cross_encoder": [1.0, 0.2], "bm25": [1, 0.3]}),
        },
        counts={"kept": {"pairs": 69318, "relevant_share": 0.24137931}, "leaks": {"queries_on_both_sides": 0}},
        params={"join": {"min_relevant_grade": 1}, "fetch": {"judgements": f"https://example.org/{LONG}"}},
        digests={"models/ranker/model.onnx": "0123abcd" * 8},
        changed=pd.DataFrame(columns=tables.CHANGED.names),
        now=NOW,
        last_release=None,
        to_judge=PurePath("results/to_judge.csv"),
    )


def decided(table: str, system: str | None = "base_cosine", share: float | None = 0.91) -> Any:
    """The example's comparison with both tables, of which one decides, and the table of stacks."""
    decides = {"table": table, "system": system, "judged": share, "rows": 181}
    return COMPARISON | {"reranked": RERANKED, "decides": decides, "stacks": STACKS}


def served_example() -> Results:
    """The same where the table of reranked hits decides: query 1 has hits, with d03 unjudged; query 9 has no hits."""
    per_query = pd.DataFrame(
        {
            "query_id": ["1", "9"],
            "query": ["masks in wards", "what no document has"],
            "pairs": [11, 4],
            "relevant": [3, 2],
            "cross_encoder nDCG@10": [0.5, 0.0],
            "first_stage nDCG@10": [0.25, 0.0],
            "base_cosine nDCG@10": [0.375, 0.0],
            "gain": [0.125, 0.0],
        }
    )
    run = example().run[:12].drop(columns="bm25").assign(first_stage=range(12, 0, -1))
    run["grade"] = run["grade"].astype(float).where(run["document_id"] != "d03")
    return replace(example(), comparison=decided("reranked"), per_query=per_query, run=run, depths=DEPTHS, ms_of=25.6)


TITLES = {
    "x1": "Masks and respirators in hospital wards: a systematic review of observational studies",
    "x2": HOSTILE_TITLE,
    "x3": LONG,
    "x4": "",
}


def since_example() -> Results:
    """The served example, with a last release: query 1 gains x1 and loses d02, query 9 had no hit."""
    rows = [
        *(("1", "masks in wards", 0.25, 0.5, "before", rank, f"d{rank:02}", rank % 3) for rank in range(1, 11)),
        ("1", "masks in wards", 0.25, 0.5, "now", 1, "x1", 2),
        ("1", "masks in wards", 0.25, 0.5, "now", 2, "d01", 1),
        *(("1", "masks in wards", 0.25, 0.5, "now", rank, f"d{rank:02}", rank % 3) for rank in range(3, 11)),
        *(("9", HOSTILE, 0.0, 0.125, "now", rank, name, None) for rank, name in enumerate(("x2", "x3", "x4"), 1)),
    ]
    changed = pd.DataFrame(rows, columns=tables.CHANGED.names[:-1]).astype({"grade": "Int32"})
    titles = {name: f"Title of {name}, longer than a narrow column of the page" for name in DOCUMENTS} | TITLES
    comparison: Any = decided("reranked") | {"last_release": against(0.031, trained_on=38)}
    changed = changed.assign(title=changed["document_id"].map(titles))
    return replace(served_example(), comparison=comparison, last_release=LAST, changed=changed)
