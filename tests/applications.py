"""Application packages for Vespa, for tests."""

from pathlib import Path

from ranker.contract.folder import Model
from ranker.stack.stack import as_stack
from ranker.vespa.names import Names
from ranker.vespa.package import Exported, write_application
from ranker.vespa.query import QuerySettings


def vespa_settings(
    stack: str = "bm25+cross_encoder",
    language: str = "en",
    depth: int = 100,
    timeout_ms: int = 5000,
    fields: tuple[str, ...] = ("title",),
    version: str = "0.1.0",
) -> QuerySettings:
    """Settings of a package that serves `stack`, and all others if that searches by vectors."""
    first_stage, _, order = stack.partition("+")
    weights = {"cross_encoder": 0.25, "cosine": 1.0, "bm25": 0.125}
    shipped = as_stack(
        {"first_stage": first_stage, "order": order or "as_found", "depth": depth, "weights": weights}
        | {"language": language}
    )
    return QuerySettings(Names(version, text_fields=fields), shipped, timeout_ms, shipped.vectors is not None, fields)


def write_package(
    folder: Path,
    ranker: Path,
    settings: QuerySettings,
    model: Model = "fp32",
    name: str = "cord19-ranker",
    retriever: Path | None = None,
) -> Path:
    """Write an application package of exported folders; returns its folder."""
    found = Exported(retriever, "fp32") if retriever else None
    write_application(folder, name, settings, Exported(ranker, model), found)
    return folder
