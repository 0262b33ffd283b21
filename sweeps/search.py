"""Search the learning rate, batch size and epochs with Optuna, each trial a `dvc exp run` of one fold.

python -m sweeps.search --trials 20 [--fold 1] [--storage FILE]

Trials run in copies of the project and are cached like any experiment. A stopped search resumes: it keeps finished
trials and runs the interrupted one again. Other params, data or code start a new search. Trials are measured on
`--fold`, because `split.held_out` is kept for the final measurement.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import dvc.api

try:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState
except ImportError:
    sys.exit("search: expected Optuna (requirements-scale.txt), found none installed")

from ranker.common.errors import InputError, run_stage
from ranker.common.files import code_digest, exclusive, sha256
from ranker.project import paths
from ranker.project.params import PARAMS_FILE, load_params

MEASURE = "nDCG@10"  # of the fold's pairs, after the last epoch
STORAGE = Path(".unfinished/search.journal")


def settings(trial: optuna.Trial) -> dict[str, float | int]:
    """The settings that the tutorial proposes to vary, in ranges around usual fine-tuning values."""
    return {
        "train.learning_rate": trial.suggest_float("train.learning_rate", 1e-5, 3e-4, log=True),
        "train.batch_size": trial.suggest_categorical("train.batch_size", [8, 16, 32]),
        "train.epochs": trial.suggest_int("train.epochs", 1, 4),
    }


def measure(name: str, changes: dict[str, float | int], fold: int) -> float:
    """Train on all folds but `fold`, in a copy of the project, and return its measure; InputError if DVC fails."""
    sets = [f"--set-param={param}={value}" for param, value in (changes | {"split.held_out": fold}).items()]
    status = subprocess.run(["dvc", "exp", "run", "--temp", "--name", name, *sets, "train"]).returncode
    if status != 0:
        raise InputError(f"dvc exp run {' '.join(sets)} train: expected it to succeed, found status {status}")
    return float(dvc.api.metrics_show(str(paths.TRAIN_METRICS), rev=name)[MEASURE])


def problem() -> str:
    """Digest of the search's inputs: params.yaml, dvc.yaml, the code, and the data's digests in dvc.lock."""
    files = [sha256(file) for file in (PARAMS_FILE, Path("dvc.yaml"), Path("dvc.lock"))]
    code = code_digest(Path("ranker"), Path("stages"))
    return hashlib.sha256(" ".join([*files, code]).encode()).hexdigest()[:8]


def open_study(storage: Path, name: str, seed: int) -> optuna.Study:
    """Open or create a study; trials that a stopped search left running are queued again."""
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(storage))),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))  # else it draws the same trials again
    for left in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(left.number, state=TrialState.FAIL)
        study.enqueue_trial(left.params)
    return study


def search(study: optuna.Study, trials: int, fold: int) -> None:
    """Run trials until `trials` are finished; InputError if one fails, which is not run again."""
    while (done := len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))) < trials:
        trial = study.ask()
        changes = settings(trial)
        try:
            found = measure(f"{study.study_name}-{trial.number}-{uuid4().hex[:4]}", changes, fold)
        except InputError:
            study.tell(trial, state=TrialState.FAIL)
            raise
        study.tell(trial, found)
        print(f"search: {done + 1} of {trials}: {MEASURE} {found:.4f} by {trial.params}", flush=True)
    print(f"search: best of {done}: {MEASURE} {study.best_value:.4f} by {study.best_params}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sweeps.search", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, help="number of finished trials, earlier ones included (20)")
    parser.add_argument("--fold", type=int, default=1, help="fold to measure on (1)")
    parser.add_argument("--storage", type=Path, default=STORAGE, help=f"journal of the search ({STORAGE})")
    asked = parser.parse_args()
    params = load_params()
    if params.split.named:
        raise InputError(
            "split.held_out: expected a fold or none, because trials hold out folds and would train on the split, "
            f"found {params.split.held_out}: leave that split out by fetch.qrels_splits"
        )
    if not 0 <= asked.fold < params.split.folds or asked.fold == params.split.held_out:
        raise InputError(
            f"--fold: expected one of {params.split.folds} folds, but not split.held_out ({params.split.held_out}), "
            f"found {asked.fold}"
        )
    if asked.trials < 1:
        raise InputError(f"--trials: expected 1 or more, found {asked.trials}")
    shallow = subprocess.run(["git", "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    if shallow.stdout.strip() == "true":  # there, DVC trains and silently loses the trial
        raise InputError(
            "expected a full clone, because trials are commits, found a shallow one: git fetch --unshallow"
        )
    name = f"search-{problem()}-{asked.fold}"
    asked.storage.parent.mkdir(parents=True, exist_ok=True)
    # A second search would queue this one's running trial again as a stopped one.
    with exclusive(asked.storage.with_suffix(".lock")):
        search(open_study(asked.storage, name, params.split.seed), asked.trials, asked.fold)


if __name__ == "__main__":
    run_stage("search", main)
