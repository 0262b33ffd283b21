"""Measures what docs/performance.md says of the two heads: pairs a second of each, side by side.

python -m bench.studies.heads

After `make repro`, whose pairs and base model it takes; give it one thread (OMP_NUM_THREADS=1) and processor time is
all that counts. It writes bench/results/heads.md.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ranker.common.files import atomic
from ranker.model.cross_encoder import CrossEncoder, new_classifier, new_segment_cosine, set_trainable
from ranker.model.dataset import EncodedPairs, load_pairs
from ranker.model.hardware import chip, resolve_precision
from ranker.model.predict import score
from ranker.project import paths
from ranker.project.params import Train, load_params
from ranker.training.trainer import fine_tune

RESULT = Path("bench/results/heads.md")
HEADS: dict[str, Callable[[], CrossEncoder]] = {
    "classifier": lambda: new_classifier(paths.BASE_MODEL, seed=13),
    "cosine": lambda: new_segment_cosine(paths.BASE_MODEL),
}
SCORED, TRAINED, TURNS = 640, 320, 3


def seconds(call: Callable[[], object]) -> float:
    """Processor time of all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def score_all(head: str, pairs: EncodedPairs, settings: Train) -> float:
    """Of scoring all pairs."""
    model, precision = HEADS[head](), resolve_precision(settings.precision)
    return seconds(lambda: score(model, pairs, settings.eval_batch_tokens, precision))


def train(head: str, pairs: EncodedPairs, settings: Train) -> float:
    """Of an epoch of all layers but the embeddings."""
    model = HEADS[head]()
    set_trainable(model, "layers")
    return seconds(lambda: fine_tune(model, pairs, settings.model_copy(update={"epochs": 1}), name=""))


def measure(pairs: EncodedPairs, settings: Train) -> dict[str, dict[str, float]]:
    """Pairs a second by head, of scoring and of training; the heads take turns."""
    few = pairs.take(np.arange(TRAINED))
    ways: dict[str, tuple[int, Callable[[str], float]]] = {
        "scored": (SCORED, lambda head: score_all(head, pairs, settings)),
        "trained": (TRAINED, lambda head: train(head, few, settings)),
    }
    found = {}
    for way, (count, run) in ways.items():
        turns = [{head: run(head) for head in HEADS} for _ in range(TURNS)]
        found[way] = {head: count / statistics.median(turn[head] for turn in turns) for head in HEADS}
    return found


def main() -> None:
    params = load_params()
    _, encoded = load_pairs(params)
    pairs = encoded.take(np.random.default_rng(13).permutation(len(encoded))[:SCORED])
    lines = [
        "# Two heads",
        "",
        f"- machine: {chip()}",
        "",
        "Pairs a second of processor time in PyTorch, medians of turns.",
        "",
        "| | classifier | cosine | cosine / classifier |",
        "| --- | ---: | ---: | ---: |",
    ]
    for precision in ("fp32", "bf16"):
        for way, rates in measure(pairs, params.train.model_copy(update={"precision": precision})).items():
            ratio = rates["cosine"] / rates["classifier"]
            lines.append(f"| {way}, {precision} | {rates['classifier']:.0f} | {rates['cosine']:.0f} | {ratio:.2f} |")
    with atomic(RESULT) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[7:]))


if __name__ == "__main__":
    main()
