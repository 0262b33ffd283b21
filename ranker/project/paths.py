"""Every path of the project, once, by the stage that writes it."""

from pathlib import Path

from ranker.contract.folder import DEFAULT_APPLICATION, DEFAULT_FOLDER

SAMPLE_LABELLED_DATA = Path("data/sample/labelled_data_all.json")
SAMPLE_JUDGEMENTS = Path("data/sample/training_all_jugdments_data.csv")

RAW_LABELLED_DATA = Path("data/raw/labelled_data.json")
RAW_JUDGEMENTS = Path("data/raw/judgements.csv")
BASE_MODEL = Path("data/raw/base_model")

QUERIES = Path("data/joined/queries.parquet")
DOCUMENTS = Path("data/joined/documents.parquet")
PAIRS = Path("data/joined/pairs.parquet")
JOIN_FINDINGS = Path("data/joined/findings.csv")
JOIN_COUNTS = Path("results/join.json")

ENCODED_QUERIES = Path("data/encoded/queries.parquet")
ENCODED_DOCUMENTS = Path("data/encoded/documents.parquet")

EMBEDDED_QUERIES = Path("data/embedded/queries.parquet")
EMBEDDED_DOCUMENTS = Path("data/embedded/documents.parquet")

START = Path("models/start")
DISTILLATION = Path("results/distil.json")

FOLDS = Path("data/split/folds.parquet")
SPLIT_COUNTS = Path("results/split.json")

FEATURES = Path("data/features")

CHECKPOINT = Path("models/checkpoint")
CURVES = Path("results/train")
TRAIN_METRICS = CURVES / "metrics.json"

RANKER = DEFAULT_FOLDER
EXPORT_REPORT = Path("results/export.json")

VESPA = DEFAULT_APPLICATION

METRICS = Path("results/metrics")
COMPARISON = Path("results/comparison.json")
MEASURES = Path("results/evaluation/measures.json")
RUN = Path("results/evaluation/run.parquet")
PER_QUERY = Path("results/evaluation/per_query.csv")
RELIABILITY_CURVE = Path("results/evaluation/reliability.csv")
ROC_CURVE = Path("results/evaluation/roc.csv")
PRECISION_RECALL_CURVE = Path("results/evaluation/precision_recall.csv")

REPORT = Path("results/report.html")

CROSSVAL_SCORES = Path("data/crossval")
CROSSVAL = Path("results/crossval.json")
CROSSVAL_METRICS = Path("results/crossval/metrics")
CROSSVAL_RUN = Path("results/crossval/run.parquet")
CROSSVAL_PER_QUERY = Path("results/crossval/per_query.csv")
CROSSVAL_REPORT = Path("results/crossval/report.html")


def crossval_scores(recipe: str, seed: int, fold: int) -> Path:
    """The table of scores of one model of the cross-validation."""
    return CROSSVAL_SCORES / recipe / f"{seed}-{fold}.parquet"
