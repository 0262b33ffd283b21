"""Documents of title and text in Vespa's own code: their tokens and scores equal Ranker's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines import harness
from ranker.contract.document import whole_text
from ranker.serving.ranker import Ranker
from ranker.vespa.feed import write_feed
from ranker.vespa.query import query_body
from tests.applications import vespa_settings, write_package

pytestmark = pytest.mark.engines

FIELDS = ("title", "text")
QUERY = "masks among nurses"
DOCUMENTS = [
    ("a", "Masks in wards", "A trial of masks among nurses."),
    ("no text", "The origin of the virus", ""),
    ("no title", "  ", "Bats and birds have viruses of their own."),
    ("long", "Origin of a virus", "It is cut at the end. " * 60),
    ("odd", "zero\u0000width\u0007 and", "\u001fbell [SEP]"),
    ("nothing", "", ""),
]


@pytest.fixture(scope="module")
def found(ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("fields")
    settings = vespa_settings(depth=9, fields=FIELDS)
    write_package(folder / "application", ranker_folder, settings)
    write_feed(DOCUMENTS, folder / "feed.jsonl", settings.names)
    place, feed = {"application": str(folder / "application")}, str(folder / "feed.jsonl")
    request: dict[str, dict[str, Any]] = {
        "deploy": {"step": "deploy", **place},
        "index": {"step": "index", **place, "feed": feed, "field": "title", "update": "Zika virus"},
        "rerank": {
            "step": "rerank",
            **place,
            "feed": feed,
            "bodies": {"both": query_body(QUERY, settings)},
            "rounds": 1,
        },
    }
    (folder / "run").mkdir()
    return harness.run(request, folder / "run")


def test_package_of_two_fields_deploys_without_a_word(found: dict[str, Any]) -> None:
    assert found["deploy"]["messages"] == []
    assert sorted(found["deploy"]["fed"]) == ["document_id", "text", "title"]
    ranked = found["deploy"]["profiles"]["ranker"]
    assert ranked["rankingExpression(bm25_score).rankingScript"] == ["bm25(title) + bm25(text)"]


def test_fed_documents_have_the_tokens_and_scores_that_ranker_gives_them(
    found: dict[str, Any], ranker_folder: Path
) -> None:
    """Vespa tokenises and reranks two fields; Ranker gets one text."""
    ranker, ids = Ranker(ranker_folder, "fp32"), [document_id for document_id, *_ in DOCUMENTS]
    encoded = ranker.encode_documents([whole_text(texts) for _, *texts in DOCUMENTS])
    fed = found["index"]["documents"]
    assert [document["document_id"] for document in fed] == ids
    for document, tokens in zip(fed, encoded, strict=True):
        size = len(document.get("doc_token_ids", tokens))
        assert document.get("doc_token_ids", [0] * size) == [*tokens, *[0] * (size - len(tokens))], document
    ours = ranker.score_unbatched(ranker.encode_query(QUERY), encoded)
    (reranked,) = found["rerank"]["both"]
    vespas = dict(zip(reranked["order"], reranked["relevance"], strict=True))
    assert reranked["runs"] == len(DOCUMENTS)
    np.testing.assert_allclose([vespas[name] for name in ids], ours, atol=1e-5)
    titles = ranker.encode_documents([title for _, title, _ in DOCUMENTS])  # alone, these texts have other scores
    assert np.abs(ours - ranker.score_unbatched(ranker.encode_query(QUERY), titles)).max() > 1e-3


def test_an_update_of_one_field_makes_the_tokens_of_that_alone(found: dict[str, Any], ranker_folder: Path) -> None:
    """An update does not load the other field, so docs/vespa.md says to feed whole documents."""
    (tokens,) = Ranker(ranker_folder).encode_documents(["Zika virus"])
    assert found["index"]["update"]["doc_token_ids"][: len(tokens) + 1] == [*tokens, 0]
