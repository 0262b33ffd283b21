"""The tutorial's jobs, written from its description.

It tokenises every pair, even if its texts recur. Encodings are Python lists, padded to 128 tokens; all is fp32. With a
frozen base, the forward pass still runs for every pair in every epoch.
"""

import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

from bench.data import Pairs
from bench.runner import Calls

QUERY_INPUT_SIZE = 32
DOC_INPUT_SIZE = 96


def encode_pairs(pairs: Pairs, base_model: Path) -> dict[str, list[list[int]]]:
    """The model's input for every pair: lists of 128 integers."""
    tokenizer = AutoTokenizer.from_pretrained(base_model)

    def tokenise(texts: list[str], size: int) -> list[list[int]]:
        return tokenizer(texts, truncation=True, max_length=size, add_special_tokens=False)["input_ids"]

    queries = tokenise(pairs.queries, QUERY_INPUT_SIZE - 2)
    documents = tokenise(pairs.documents, DOC_INPUT_SIZE - 1)
    encodings: dict[str, list[list[int]]] = {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    for query, document in zip(queries, documents, strict=True):
        first = [tokenizer.cls_token_id, *query, tokenizer.sep_token_id]
        second = [*document, tokenizer.sep_token_id]
        padding = [0] * (QUERY_INPUT_SIZE + DOC_INPUT_SIZE - len(first) - len(second))
        encodings["input_ids"].append(first + second + [tokenizer.pad_token_id] * len(padding))
        encodings["token_type_ids"].append([0] * len(first) + [1] * len(second) + padding)
        encodings["attention_mask"].append([1] * (len(first) + len(second)) + padding)
    return encodings


class Encoded(Dataset[dict[str, torch.Tensor]]):
    """Encodings and labels, made tensors one pair at a time."""

    def __init__(self, pairs: Pairs, base_model: Path) -> None:
        self.encodings = encode_pairs(pairs, base_model)
        self.labels = pairs.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        item = {name: torch.tensor(values[row]) for name, values in self.encodings.items()}
        return item | {"labels": torch.tensor(self.labels[row])}


def train(pairs: Pairs, base_model: Path, head_only: bool) -> Calls:
    """One epoch over `pairs`, in batches of 16."""
    model = AutoModelForSequenceClassification.from_pretrained(base_model, num_labels=2)
    if head_only:
        for weights in model.base_model.parameters():
            weights.requires_grad = False
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=1,
        per_device_train_batch_size=16,
        warmup_steps=500,
        weight_decay=0.01,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    return [Trainer(model=model, args=arguments, train_dataset=Encoded(pairs, base_model)).train]


def score(pairs: Pairs, base_model: Path) -> Calls:
    """Logits of every pair, 64 at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(base_model, num_labels=2).eval()
    loader = DataLoader(Encoded(pairs, base_model), batch_size=64)

    @torch.no_grad()
    def run() -> list[torch.Tensor]:
        return [model(**batch).logits for batch in loader]

    return [run]
