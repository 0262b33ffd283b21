"""Every path of the project, once, by the stage that writes it."""

from pathlib import Path

from ranker.contract.folder import DEFAULT_FOLDER

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

RANKER = DEFAULT_FOLDER
EXPORT_REPORT = Path("results/export.json")

VESPA = Path("models/vespa")

MEASURES = Path("results/metrics.json")
RUN = Path("results/run.parquet")
PER_QUERY = Path("results/per_query.csv")
COMPARISON = Path("results/comparison.json")
RELIABILITY_CURVE = Path("results/reliability.csv")
ROC_CURVE = Path("results/roc.csv")
PRECISION_RECALL_CURVE = Path("results/precision_recall.csv")

REPORT = Path("results/report.html")

CROSSVAL_SCORES = Path("data/crossval")
CROSSVAL = Path("results/crossval.json")
CROSSVAL_MEASURES = Path("results/crossval/metrics.json")
CROSSVAL_RUN = Path("results/crossval/run.parquet")
CROSSVAL_PER_QUERY = Path("results/crossval/per_query.csv")
CROSSVAL_REPORT = Path("results/crossval/report.html")


def crossval_scores(recipe: str, seed: int, fold: int) -> Path:
    """The table of scores of one model of the cross-validation."""
    return CROSSVAL_SCORES / recipe / f"{seed}-{fold}.parquet"
