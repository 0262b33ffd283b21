"""Every path of the project, once, by the stage that writes it."""

from pathlib import Path

from ranker.contract.folder import DEFAULT_APPLICATION, DEFAULT_FOLDER, DEFAULT_RETRIEVER, MANIFEST_FILE

RAW = Path("data/raw")
BASE_MODEL = Path("data/base_model")
SENTENCE_ENCODER_FILE = "sentence_encoder.json"  # in BASE_MODEL: its pooling and prompts

QUERIES = Path("data/joined/queries.parquet")
DOCUMENTS = Path("data/joined/documents.parquet")
PAIRS = Path("data/joined/pairs.parquet")
QRELS_SPLITS = Path("data/joined/qrels_splits.parquet")
JOIN_FINDINGS = Path("data/joined/findings.csv")
JOIN_COUNTS = Path("results/join.json")

ENCODED_QUERIES = Path("data/encoded/queries.parquet")
ENCODED_DOCUMENTS = Path("data/encoded/documents.parquet")
ENCODE_COUNTS = Path("results/encode.json")

EMBEDDED_QUERIES = Path("data/embedded/queries.parquet")
EMBEDDED_DOCUMENTS = Path("data/embedded/documents.parquet")

SPLIT_PAIRS = Path("data/split/pairs.parquet")
SPLIT_QUERIES = Path("data/split/queries.parquet")
SPLIT_DOCUMENTS = Path("data/split/documents.parquet")
SPLIT_COUNTS = Path("results/split.json")

RETRIEVER_CHECKPOINT = Path("models/retriever_checkpoint")
RETRIEVER = DEFAULT_RETRIEVER
RETRIEVER_REPORT = Path("results/retriever.json")

RUNS = Path("data/runs")  # the user's own; stages only read them
HITS = Path("data/first_stage/hits.parquet")
HIT_DOCUMENTS = Path("data/first_stage/documents.parquet")

MINED_PAIRS = Path("data/negatives/pairs.parquet")
MINED_DOCUMENTS = Path("data/negatives/documents.parquet")
NEGATIVES = Path("results/negatives.json")

FEATURES = Path("data/features")

CHECKPOINT = Path("models/checkpoint")
TRAINING_FILE = "training.json"  # in a checkpoint: digests of its data and code
CURVES = Path("results/train")
TRAIN_METRICS = CURVES / "metrics.json"

RANKER = DEFAULT_FOLDER
MANIFEST = RANKER / MANIFEST_FILE
EXPORT_REPORT = Path("results/export.json")

VESPA = DEFAULT_APPLICATION
OPENSEARCH = Path("models/opensearch")
STACK = Path("models/stack.json")

LAST_RELEASE = Path("data/last_release")
RELEASE_HITS = Path("data/release_hits/hits.parquet")
RELEASE_ABOUT = Path("data/release_hits/about.json")
ORIGIN_FILE = "origin.json"  # in a taken release: what evaluate.against named, and its digest
RELEASE_FILE = "release.json"  # in a taken release: what `make release` wrote, if it did
RELEASES = Path("releases")  # a release's manifest and notes, in Git

SCORED_PAIRS = Path("data/scored/pairs.parquet")
SCORED_HITS = Path("data/scored/hits.parquet")

METRICS = Path("results/metrics")
RERANKED_METRICS = METRICS / "reranked"
STACK_METRICS = METRICS / "stacks"
COMPARISON = Path("results/comparison.json")
MEASURES = Path("results/evaluation/measures.json")
RUN = Path("results/evaluation/run.parquet")
PER_QUERY = Path("results/evaluation/per_query.csv")
RERANKED_PER_QUERY = Path("results/evaluation/reranked.csv")
RERANKED_RUN = Path("results/evaluation/reranked.parquet")
TO_JUDGE = Path("results/to_judge.csv")
GAINS = Path("results/gains.json")
BY_QUERY = Path("results/evaluation/stacks.parquet")
CHANGED = Path("results/evaluation/changed.parquet")
DEPTH_CURVE = Path("results/evaluation/depth.csv")
TREC_FILES = Path("results/evaluation/trec")  # runs and qrels
RELIABILITY_CURVE = Path("results/evaluation/reliability.csv")
ROC_CURVE = Path("results/evaluation/roc.csv")
PRECISION_RECALL_CURVE = Path("results/evaluation/precision_recall.csv")

HUB = Path("models/hub")
HUB_RANKER = HUB / "ranker"
HUB_RETRIEVER = HUB / "retriever"

REPORT = Path("results/report.html")

CROSSVAL_SCORES = Path("data/crossval")
CROSSVAL = Path("results/crossval.json")
CROSSVAL_METRICS = Path("results/crossval/metrics")
CROSSVAL_RERANKED_METRICS = Path("results/crossval/reranked")
CROSSVAL_STACK_METRICS = Path("results/crossval/stacks")
CROSSVAL_RERANKED_PER_QUERY = Path("results/crossval/reranked.csv")
CROSSVAL_RERANKED_RUN = Path("results/crossval/reranked.parquet")
CROSSVAL_BY_QUERY = Path("results/crossval/stacks.parquet")
CROSSVAL_CHANGED = Path("results/crossval/changed.parquet")
CROSSVAL_TO_JUDGE = Path("results/crossval/to_judge.csv")
CROSSVAL_DEPTH_CURVE = Path("results/crossval/depth.csv")
CROSSVAL_RUN = Path("results/crossval/run.parquet")
CROSSVAL_PER_QUERY = Path("results/crossval/per_query.csv")
CROSSVAL_REPORT = Path("results/crossval/report.html")


def crossval_fewer(share: float, fold: int) -> Path:
    """The table of hits by models that were trained on a share of a fold's training queries."""
    return CROSSVAL_SCORES / "fewer" / f"{share}-{fold}.parquet"


def crossval_scores(recipe: str, seed: int, fold: int) -> Path:
    """The table of scores by one model of the cross-validation."""
    return CROSSVAL_SCORES / recipe / f"{seed}-{fold}.parquet"
