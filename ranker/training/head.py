"""Train the head alone, on features: no encoder runs, and three epochs over 69,000 pairs take seconds.

The Trainer's optimiser, schedule, clipping and batches, without the Trainer: its own time would be most of a step's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from tqdm import trange
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup, set_seed

from ranker.model.predict import score_features
from ranker.project.params import Train
from ranker.training.batches import training_batches
from ranker.training.curves import EvalLogger
from ranker.training.loss import cross_entropy

MAX_GRADIENT_NORM = 1.0  # the Trainer's default
POINTS = 100  # of the training loss's curve
INNER_FOLDS = 4
PENALTIES = np.logspace(-4, 1, 6)
MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Featured:
    """The head's input for some pairs."""

    pooled: np.ndarray  # float16 [pairs, hidden size]
    targets: np.ndarray  # float32 [pairs], the probability of relevance to learn
    lengths: np.ndarray  # int64 [pairs], tokens; give the same batches as in `fine_tune`


class HeadTrainer:
    """Trains a model's dropout and classifier by AdamW, with a linear schedule over `steps` steps."""

    def __init__(self, model: BertForSequenceClassification, params: Train, steps: int) -> None:
        self.head = nn.Sequential(model.dropout, model.classifier).train()
        groups = [
            {"params": [model.classifier.weight], "weight_decay": params.weight_decay},
            {"params": [model.classifier.bias], "weight_decay": 0.0},  # biases do not decay, as in the Trainer
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=params.learning_rate, fused=True)
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, params.warmup_steps, steps)

    def step(self, pooled: torch.Tensor, targets: torch.Tensor) -> float:
        """Learn from float32 [batch, hidden size] and float32 [batch]; returns the loss (nats)."""
        loss = cross_entropy(self.head(pooled), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.head.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return loss.item()


def train_head(
    model: BertForSequenceClassification,
    training: Featured,
    params: Train,
    held_out: np.ndarray | None = None,
    logger: EvalLogger | None = None,
) -> None:
    """Train the classifier of `model` in place; with `logger`, write its curves.

    `held_out` are the features of the logger's pairs. Equal arguments give equal weights on one machine.
    """
    set_seed(params.seed)
    steps = -(-len(training.targets) // params.batch_size) * params.epochs
    trainer = HeadTrainer(model, params, steps)
    pooled, targets = torch.from_numpy(training.pooled).float(), torch.from_numpy(training.targets)
    every, losses = max(1, steps // POINTS), []
    bar, step = trange(steps, desc="train the head", unit="step", disable=None), 0
    for epoch in range(params.epochs):
        if logger and held_out is not None:
            logger.log_eval(step, score_features(model, held_out))
        for rows in training_batches(training.lengths, params.batch_size, params.seed, epoch):
            losses.append(trainer.step(pooled[rows], targets[rows]))
            bar.update()
            step += 1
            if logger and step % every == 0:
                rate = trainer.schedule.get_last_lr()[0]
                logger.log_training(step, loss=float(np.mean(losses[-every:])), learning_rate=rate)
    bar.close()
    if logger and held_out is not None:
        logger.log_eval(steps, score_features(model, held_out))
        logger.end()


def converged_head_scores(
    pooled: np.ndarray, relevant: np.ndarray, query_ids: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Scores, float32 [others], of a head trained to convergence: logistic regression on standardised features.

    `pooled` and `others` are float [pairs, hidden size], `relevant` bool [pairs]. Log loss on inner folds over queries
    chooses the penalty. Three epochs of AdamW do not converge: on TREC-COVID they gave an nDCG@10 of 0.337, and this
    gives 0.41 to 0.43.
    """
    folds = GroupKFold(INNER_FOLDS).split(pooled, relevant, query_ids)
    regression = LogisticRegressionCV(
        Cs=PENALTIES,
        cv=list(folds),
        scoring="neg_log_loss",
        max_iter=MAX_ITERATIONS,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )
    head = make_pipeline(StandardScaler(), regression).fit(pooled.astype(np.float32), relevant)
    return head.decision_function(others.astype(np.float32)).astype(np.float32)
