"""Fine-tune the base model as a retriever: a bi-encoder, whose vectors a search engine compares by cosine."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler

from ranker.contract.batching import MULTIPLE
from ranker.contract.embedding import TextLayout, lay_out_texts
from ranker.contract.layout import Layout, TokenIds
from ranker.contract.tokens import special_ids
from ranker.model.cross_encoder import new_bi_encoder
from ranker.model.dataset import EncodedPairs, encode_pairs, targets
from ranker.model.segment_cosine import PACE, BertForBiEncoder
from ranker.project import paths
from ranker.project.params import Retriever
from ranker.project.tables import Tokens
from ranker.training.batches import Judgements, batches_an_epoch, grouped_batches
from ranker.training.loss import retrieval_loss
from ranker.training.trainer import BucketTrainer, fine_tune


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
    encoded = encoded.with_targets(targets(pairs, settings.targets, scale))
    fine_tune(model, encoded, settings, name=name, kind=RetrieverTrainer)
    return model


def grid_collator(training: EncodedPairs) -> Callable[[Sequence[int]], dict[str, torch.Tensor]]:
    """A function that turns rows of pairs into the model's inputs and `targets`, float32 [queries, documents]."""
    layout = training.layout
    texts = TextLayout(layout.query_input_size, layout.cls_id, layout.sep_id, layout.pad_id)
    judged = Judgements.of(training.query_rows, training.document_rows, training.targets, len(training.documents))

    def laid_out(side: Tokens, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        tokens: list[TokenIds] = [side[row] for row in rows]
        inputs = lay_out_texts(texts, tokens, multiple_of=MULTIPLE)
        return torch.from_numpy(inputs["input_ids"]), torch.from_numpy(inputs["attention_mask"])

    def collate(rows: Sequence[int]) -> dict[str, torch.Tensor]:
        queries, documents = np.unique(training.query_rows[rows]), np.unique(training.document_rows[rows])
        query_ids, query_mask = laid_out(training.queries, queries)
        document_ids, document_mask = laid_out(training.documents, documents)
        return {
            "query_ids": query_ids,
            "query_mask": query_mask,
            "document_ids": document_ids,
            "document_mask": document_mask,
            "targets": torch.from_numpy(judged.grid(queries, documents)),
        }

    return collate


class RetrieverTrainer(BucketTrainer):
    """The Trainer with `grouped_batches` and `retrieval_loss`."""

    @staticmethod
    def steps(training: EncodedPairs, batch_size: int) -> int:
        """Steps of an epoch."""
        return batches_an_epoch(training.query_rows, batch_size)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """`retrieval_loss` (nats) of the batch's grid."""
        cosines = model(**{name: tensor for name, tensor in inputs.items() if name != "targets"})
        plain = cast(BertForBiEncoder, self.accelerator.unwrap_model(model))
        loss = retrieval_loss(cosines, PACE * plain.scale, PACE * plain.offset, inputs["targets"])
        return (loss, cosines) if return_outputs else loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The pairs' rows in grouped batches."""
        training = cast(EncodedPairs, self.train_dataset)
        self.sampler = GroupedSampler(training, self.args.train_batch_size, self.args.seed)
        loader: DataLoader[Any] = DataLoader(
            cast(Any, range(len(training))), batch_sampler=cast(Any, self.sampler), collate_fn=grid_collator(training)
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared


class GroupedSampler(Sampler[list[int]]):
    """Yields the rows of each of `grouped_batches`."""

    def __init__(self, training: EncodedPairs, batch_size: int, seed: int) -> None:
        self.training, self.batch_size, self.seed, self.epoch = training, batch_size, seed, 0

    def __len__(self) -> int:
        return batches_an_epoch(self.training.query_rows, self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        pairs = self.training
        sides = pairs.query_rows, pairs.targets, pairs.lengths
        for batch in grouped_batches(*sides, self.batch_size, self.seed, self.epoch):
            yield batch.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self.epoch = epoch
