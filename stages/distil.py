"""Teach the cross-encoder the base model's cosine on made-up queries, before it sees any judgement.

Of several processes (train.launcher), the first alone logs and writes.

python -m stages.distil
"""

import numpy as np
import pandas as pd
from transformers import BertForSequenceClassification

from ranker import tables
from ranker.distillation import made_up_queries, teaching_pairs
from ranker.embedding import Embedder
from ranker.encoded_pairs import EncodedPairs, encode_pairs
from ranker.encoding import load_layout, load_tokenizer, tokenize
from ranker.errors import run_stage
from ranker.files import atomic, write_json
from ranker.fit import check_fit
from ranker.model import save_model, start_training
from ranker.params import Params, Train, load_params
from ranker.processes import count, is_first
from ranker.scoring import score
from ranker.training import fine_tune
from ranker.unfinished import forget

UNTAUGHT = 100  # more made-up queries, on which pupil and teacher are compared
# Not those of params.yaml's train: a sweep over them must not teach again.
BATCH_SIZE = 16
WARMUP_STEPS = 100
WEIGHT_DECAY = 0.01


def lesson(params: Params) -> tuple[pd.DataFrame, tables.Tokens]:
    """Pairs to teach, those of the last UNTAUGHT queries to compare on among them, and the queries' token ids."""
    titles = tables.read_table(tables.DOCUMENTS)["title"].tolist()
    texts = made_up_queries(titles, params.distil.queries + UNTAUGHT, params.distil.seed)
    ids, tokens = [str(row) for row in range(len(texts))], tokenize(load_tokenizer(tables.BASE_MODEL), texts)
    queries = tables.Embeddings(
        {query_id: row for row, query_id in enumerate(ids)}, Embedder(tables.BASE_MODEL)(tokens)
    )
    documents = tables.read_embeddings(tables.EMBEDDED_DOCUMENTS)
    return teaching_pairs(queries, documents, params.distil.seed), tables.pack(ids, tokens)


def distil(params: Params) -> tuple[BertForSequenceClassification, EncodedPairs, np.ndarray]:
    """The taught cross-encoder, and pairs that it was not taught with their cosines, float32 [pairs]."""
    layout = load_layout(tables.BASE_MODEL, params.encode.query_input_size, params.encode.doc_input_size)
    pairs, queries = lesson(params)
    taught = pairs["query_id"].astype(int) < params.distil.queries
    documents = tables.read_tokens(tables.ENCODED_DOCUMENTS)
    teach, compare = (encode_pairs(side, queries, documents, layout) for side in (pairs[taught], pairs[~taught]))
    model = start_training(tables.BASE_MODEL, "all", params.distil.seed)
    model.bert.embeddings.requires_grad_(False)  # a fifth of the time, and what the cosine was made of
    settings = Train(
        launcher=params.train.launcher,
        trainable="all",
        epochs=1,  # another pass is better spent on more made-up queries
        batch_size=-(-BATCH_SIZE // count()) * count(),  # a share for each process
        eval_batch_tokens=params.train.eval_batch_tokens,
        learning_rate=params.distil.learning_rate,
        warmup_steps=WARMUP_STEPS,
        weight_decay=WEIGHT_DECAY,
        seed=params.distil.seed,
        precision=params.train.precision,
    )
    if is_first():
        print(f"distil: {len(teach)} pairs of {params.distil.queries} made-up queries", flush=True)
    fine_tune(model, teach, settings, name="distil")
    return model, compare, pairs.loc[~taught, "cosine"].to_numpy()


def correlation(scores: np.ndarray, cosines: np.ndarray) -> float:
    """Pearson's, 0 where one side has no spread."""
    return float(np.corrcoef(scores, cosines)[0, 1]) if np.ptp(scores) and np.ptp(cosines) else 0.0


def main() -> None:
    params = load_params()
    check_fit(tables.BASE_MODEL, params)
    taught = distil(params) if params.distil.queries else None
    if not is_first():
        return
    report: dict[str, float] = {"made-up queries": params.distil.queries}
    with atomic(tables.START) as partial:
        partial.mkdir()
        if taught:
            model, pairs, cosines = taught
            report["correlation with the cosine"] = correlation(
                score(model, pairs, params.train.eval_batch_tokens), cosines
            )
            save_model(model, tables.BASE_MODEL, partial)
    write_json(tables.DISTILLATION, report)
    forget("distil")
    print(f"distil: {report}")


if __name__ == "__main__":
    run_stage("distil", main)
