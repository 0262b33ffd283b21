"""The cases of the benchmark: each system's job, and its number of pairs."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import sentence_transformers_, this_project, tutorial
from bench.data import SHOWN, Pairs
from bench.runner import Calls, Case, Job, Prepare, command
from bench.sentence_transformers_ import Kind
from bench.table import ALONE, OURS, PEER, TUTORIAL
from ranker.contract.folder import Model
from ranker.model.hardware import resolve_precision

KINDS: tuple[Kind, ...] = ("fp32", "bf16")
COLD_START = """
import json, sys
from sentence_transformers import CrossEncoder
CrossEncoder(sys.argv[1], num_labels=1).predict(json.load(sys.stdin))
"""


@dataclass(frozen=True)
class Setup:
    """Data and models of the benchmark."""

    pairs: Pairs
    base_model: Path
    exported: Path  # output of stage export
    share: int  # pairs for slow systems; the slowest get a part of them

    def peers(self, way: Callable[[Pairs, Path, Kind], Calls]) -> dict[str, Job]:
        """Jobs of sentence-transformers on all pairs."""
        return {f"{PEER} {kind}": Job(partial(way, self.pairs, self.base_model, kind)) for kind in KINDS}

    def exports(self, way: Callable[[Model], Prepare]) -> dict[str, Job]:
        """Jobs of the exported models: fp32, and int8 if one passed the gate."""
        jobs = {f"{OURS}, ONNX fp32": Job(way("fp32"))}
        if scheme := this_project.scheme(self.exported):
            jobs[f"{OURS}, ONNX int8"] = Job(way("int8"), note=scheme)
        return jobs


def all_cases(setup: Setup) -> list[Case]:
    cases = (head_only, fine_tuning, scoring, reranking, reranking_unbatched, many_clients, cold_start)
    return [case(setup) for case in cases]


def head_only(setup: Setup) -> Case:
    """The tutorial's recipe runs the frozen encoder in every epoch; this project stores its output.

    Any system that stores it is about as fast.
    """
    few = setup.pairs.some(setup.share // 4)
    jobs = {
        TUTORIAL: Job(partial(tutorial.train, few, setup.base_model, True), share=len(few)),
        OURS: Job(partial(this_project.train_head, setup.pairs, setup.base_model)),
    }
    return Case("head-only training, 3 epochs, from encodings", 3 * len(setup.pairs), jobs)


def fine_tuning(setup: Setup) -> Case:
    """All weights, in batches of 16."""
    few, fewer, fewest = (setup.pairs.some(setup.share // part) for part in (1, 4, 8))
    fast = resolve_precision("auto")
    jobs = {
        TUTORIAL: Job(partial(tutorial.train, fewest, setup.base_model, False), share=len(fewest)),
        f"{PEER} fp32": Job(partial(sentence_transformers_.train, fewer, setup.base_model, "fp32"), share=len(fewer)),
        f"{PEER} bf16": Job(partial(sentence_transformers_.train, few, setup.base_model, "bf16"), share=len(few)),
        f"{OURS}, fp32": Job(partial(this_project.train, fewer, setup.base_model, "fp32"), share=len(fewer)),
        f"{OURS}, {fast}": Job(partial(this_project.train, few, setup.base_model, fast), share=len(few)),
    }
    return Case("full fine-tuning, 1 epoch, batches of 16", len(setup.pairs), jobs)


def scoring(setup: Setup) -> Case:
    """From texts to scores."""
    few = setup.pairs.some(setup.share // 4)
    jobs = {TUTORIAL: Job(partial(tutorial.score, few, setup.base_model), share=len(few))}
    jobs |= setup.peers(sentence_transformers_.score)
    for precision in dict.fromkeys(("fp32", resolve_precision("auto"))):
        way = partial(this_project.score, setup.pairs, setup.base_model, precision)
        jobs[f"{OURS}, PyTorch {precision}"] = Job(way)
    jobs |= setup.exports(lambda model: partial(this_project.score_onnx, setup.pairs, setup.exported, model))
    return Case("scoring", len(setup.pairs), jobs)


def reranking(setup: Setup) -> Case:
    """One query with 30 titles."""
    jobs = setup.peers(sentence_transformers_.rerank)
    jobs |= setup.exports(lambda model: partial(this_project.rerank, setup.pairs, setup.exported, model, True))
    return Case("rerank 30 titles, p50 of one query", 30, jobs)


def reranking_unbatched(setup: Setup) -> Case:
    """`reranking` one pair at a time, as only Vespa does."""
    some = setup.pairs.some(300)
    jobs = setup.exports(lambda model: partial(this_project.rerank, some, setup.exported, model, False))
    return Case("rerank 30 titles one by one, as Vespa does, p50", 30, jobs)


def many_clients(setup: Setup) -> Case:
    """Queries with 30 titles each, from eight clients: `Ranker` in their process, and the HTTP door."""
    some = setup.pairs.some(min(len(setup.pairs), 1200))
    scheme = this_project.scheme(setup.exported)
    ways = {ALONE: this_project.at_once, f"{OURS}, HTTP": this_project.over_http}
    jobs = {
        name: Job(partial(way, some, setup.exported, "int8" if scheme else "fp32"), note=scheme)
        for name, way in ways.items()
    }
    return Case("rerank 30 titles a query, 8 clients", len(some) // SHOWN * SHOWN, jobs)


def cold_start(setup: Setup) -> Case:
    """A process that starts, loads the model and ranks 30 titles for one query."""
    query, titles = setup.pairs.queries[0], setup.pairs.documents[:30]
    pairs = json.dumps([[query, title] for title in titles])
    documents = "\n".join(json.dumps({"document_id": str(row), "title": title}) for row, title in enumerate(titles))
    ours = (sys.executable, "-m", "ranker", "rank", query, "--model-dir", setup.exported, "--model")
    jobs = {f"{PEER} fp32": Job(partial(command, sys.executable, "-c", COLD_START, setup.base_model, text=pairs))}
    jobs |= setup.exports(lambda model: partial(command, *ours, model, text=documents))
    return Case("cold start: a new process ranks 30 titles", 30, jobs)
