"""Fine-tune the base model as a retriever: a bi-encoder, whose vectors a search engine compares by cosine."""

from collections.abc import Sequence

import pandas as pd

from ranker.contract.layout import Layout
from ranker.contract.tokens import special_ids
from ranker.model.cross_encoder import new_bi_encoder
from ranker.model.dataset import encode_pairs, targets
from ranker.model.segment_cosine import BertForBiEncoder
from ranker.project import paths
from ranker.project.params import Retriever
from ranker.project.tables import Tokens
from ranker.training.trainer import fine_tune


def train_retriever(
    pairs: pd.DataFrame, queries: Tokens, documents: Tokens, settings: Retriever, scale: Sequence[int], name: str
) -> BertForBiEncoder:
    """Train a retriever from the base model's weights on the training side's `pairs`.

    `pairs` has query_id, document_id, grade and relevant; `queries` and `documents` have the tokens of their texts.
    `scale` are the grades of join.grades. Equal arguments give equal weights on one machine with one number of threads.
    `name` is that of its checkpoints: a stopped training resumes until `remove_checkpoints`.
    """
    # In this layout, each text with [CLS] and [SEP] has at most max_length tokens.
    layout = Layout(settings.max_length, settings.max_length - 1, **special_ids(paths.BASE_MODEL))
    encoded = encode_pairs(pairs, queries, documents, layout)
    model = new_bi_encoder(settings.trainable)
    fine_tune(model, encoded.with_targets(targets(pairs, settings.targets, scale)), settings, name=name)
    return model
