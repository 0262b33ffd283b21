"""Teach the cross-encoder the base model's cosine on made-up queries, before it sees any judgement.

Of several processes (train.launcher), the first alone logs and writes.

python -m stages.distil
"""

import numpy as np
import pandas as pd
from transformers import BertForSequenceClassification

from ranker.common.distributed import is_main_process, world_size
from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.model.cross_encoder import new_cross_encoder, save_model
from ranker.model.dataset import EncodedPairs, encode_pairs, project_layout
from ranker.model.embedding import Embedder
from ranker.model.predict import score
from ranker.project import paths, tables
from ranker.project.params import Params, Train, load_params
from ranker.project.preflight import check_params_fit_model
from ranker.training.checkpoints import remove_checkpoints
from ranker.training.distillation import made_up_queries, teaching_pairs
from ranker.training.trainer import fine_tune

UNTAUGHT = 100  # more made-up queries, on which pupil and teacher are compared
# Not those of params.yaml's train: a sweep over them must not teach again.
BATCH_SIZE = 16
WARMUP_STEPS = 100
WEIGHT_DECAY = 0.01


def lesson(params: Params) -> tuple[pd.DataFrame, tables.Tokens]:
    """Pairs to teach, those of the last UNTAUGHT queries to compare on among them, and the queries' token ids."""
    titles = tables.read_table(paths.DOCUMENTS)["title"].tolist()
    texts = made_up_queries(titles, params.distil.queries + UNTAUGHT, params.distil.seed)
    ids, tokens = [str(row) for row in range(len(texts))], tokenize(load_tokenizer(paths.BASE_MODEL), texts)
    queries = tables.Embeddings(
        {query_id: row for row, query_id in enumerate(ids)}, Embedder(paths.BASE_MODEL)(tokens, "query")
    )
    documents = tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    return teaching_pairs(queries, documents, params.distil.seed), tables.pack(ids, tokens)


def distil(params: Params) -> tuple[BertForSequenceClassification, EncodedPairs, np.ndarray]:
    """The taught cross-encoder, and pairs that it was not taught with their cosines, float32 [pairs]."""
    layout = project_layout(params)
    pairs, queries = lesson(params)
    taught = pairs["query_id"].astype(int) < params.distil.queries
    documents = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    teach, compare = (encode_pairs(side, queries, documents, layout) for side in (pairs[taught], pairs[~taught]))
    model = new_cross_encoder(paths.BASE_MODEL, params.distil.seed)
    model.bert.embeddings.requires_grad_(False)  # a fifth of the time, and what the cosine was made of
    settings = Train(
        launcher=params.train.launcher,
        trainable="all",
        epochs=1,  # another pass is better spent on more made-up queries
        batch_size=-(-BATCH_SIZE // world_size()) * world_size(),  # a share for each process
        eval_batch_tokens=params.train.eval_batch_tokens,
        learning_rate=params.distil.learning_rate,
        warmup_steps=WARMUP_STEPS,
        weight_decay=WEIGHT_DECAY,
        seed=params.distil.seed,
        precision=params.train.precision,
    )
    if is_main_process():
        print(f"distil: {len(teach)} pairs of {params.distil.queries} made-up queries", flush=True)
    fine_tune(model, teach, settings, name="distil")
    return model, compare, pairs.loc[~taught, "cosine"].to_numpy()


def correlation(scores: np.ndarray, cosines: np.ndarray) -> float:
    """Pearson's, 0 where one side has no spread."""
    return float(np.corrcoef(scores, cosines)[0, 1]) if np.ptp(scores) and np.ptp(cosines) else 0.0


def main() -> None:
    params = load_params()
    check_params_fit_model(paths.BASE_MODEL, params)
    taught = distil(params) if params.distil.queries else None
    if not is_main_process():
        return
    report: dict[str, float] = {"made-up queries": params.distil.queries}
    with atomic(paths.START) as partial:
        partial.mkdir()
        if taught:
            model, pairs, cosines = taught
            report["correlation with the cosine"] = correlation(
                score(model, pairs, params.train.eval_batch_tokens), cosines
            )
            save_model(model, paths.BASE_MODEL, partial)
    write_json(paths.DISTILLATION, report)
    remove_checkpoints("distil")
    print(f"distil: {report}")


if __name__ == "__main__":
    run_stage("distil", main)
