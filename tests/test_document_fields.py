"""Documents of several fields: rank, score, feed, query and Vespa's package follow join.document_fields."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from ranker.common.errors import InputError
from ranker.common.files import sha256, write_json
from ranker.contract.document import read_document_fields, whole_text
from ranker.contract.layout import Layout, contract
from ranker.project.params import check_params
from ranker.serving.documents import read_documents
from ranker.serving.ranker import Ranker
from ranker.vespa.feed import feed_fields
from ranker.vespa.query import query_body, read_settings
from ranker.vespa.schema import whole
from tests.applications import vespa_settings, write_package
from tests.factories import PARAMS, run_module

FIELDS = ("title", "text")
DOCUMENTS = [
    ("a", "Masks in wards", "A trial of masks among nurses."),
    ("b", "The origin of the virus", ""),
    ("c", " ", "Bats and birds have viruses of their own."),
]
TEXTS = [
    "Masks in wards A trial of masks among nurses.",
    "The origin of the virus",
    "Bats and birds have viruses of their own.",
]
QUERY = "masks for nurses"
SETTINGS = vespa_settings(fields=FIELDS)


@pytest.fixture(scope="module")
def exported(ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported model with whole documents in its contract."""
    folder = Path(shutil.copytree(ranker_folder, tmp_path_factory.mktemp("exported") / "ranker"))
    encoding = json.loads((folder / "encoding.json").read_text())
    write_json(folder / "encoding.json", encoding | {"document_fields": list(FIELDS)})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["encoding.json"] = sha256(folder / "encoding.json")
    write_json(folder / "manifest.json", manifest)
    return folder


@pytest.fixture(scope="module")
def application(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("application")
    return write_package(folder, exported, SETTINGS)


@pytest.fixture(params=[".csv", ".jsonl", ".parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """DOCUMENTS as a file with the columns in another order."""
    frame = pd.DataFrame(DOCUMENTS, columns=["document_id", *FIELDS])[["text", "document_id", "title"]]
    path = tmp_path / f"documents{request.param}"
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    return path


def ranker(*arguments: object) -> str | int | None:
    return run_module("ranker.__main__", *map(str, arguments))


def scores(folder: Path) -> dict[str, float]:
    """Scores of QUERY with each document's text, joined by hand, by document id."""
    model = Ranker(folder)
    found = model.score(model.encode_query(QUERY), model.encode_documents(TEXTS))
    return {document_id: float(score) for (document_id, _, _), score in zip(DOCUMENTS, found, strict=True)}


def test_whole_text_has_the_fields_in_order_and_no_blank_one() -> None:
    assert [whole_text(texts) for _, *texts in DOCUMENTS] == TEXTS


def test_contract_names_the_fields(tmp_path: Path) -> None:
    layout = Layout(16, 24, cls_id=2, sep_id=3, pad_id=0)
    for fields in (("title",), FIELDS):
        write_json(tmp_path / "encoding.json", contract(layout, "0" * 64, 512, fields))
        assert read_document_fields(tmp_path / "encoding.json") == fields
    write_json(tmp_path / "encoding.json", {})
    assert read_document_fields(tmp_path / "encoding.json") == ("title",)  # exported before there were other fields


@pytest.mark.parametrize("fields", ["title", [], [1], None])
def test_read_document_fields_refuses_values_that_name_no_field(tmp_path: Path, fields: object) -> None:
    write_json(tmp_path / "encoding.json", {"document_fields": fields})
    with pytest.raises(InputError, match="encoding.json: document_fields: expected names, found"):
        read_document_fields(tmp_path / "encoding.json")


def test_read_documents_of_several_fields(file: Path) -> None:
    assert list(read_documents(file, FIELDS)) == DOCUMENTS
    assert list(read_documents(file)) == [(document_id, title) for document_id, title, _ in DOCUMENTS]


def test_read_documents_names_the_field_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("document_id,title\na,Masks\n")
    expected = "a.csv: expected a column text, found document_id, title"
    with pytest.raises(InputError, match=expected):
        list(read_documents(tmp_path / "a.csv", FIELDS))
    lines = ('{"document_id": "a", "title": "Masks", "text": null}\n', '{"document_id": "b", "title": "Bats"}\n')
    (tmp_path / "a.jsonl").write_text("".join(lines))
    assert list(read_documents(tmp_path / "a.jsonl", FIELDS)) == [("a", "Masks", ""), ("b", "Bats", "")]
    (tmp_path / "a.jsonl").write_text(lines[1])
    with pytest.raises(InputError, match=r"a.jsonl: expected a column text, found document_id, title"):
        list(read_documents(tmp_path / "a.jsonl", FIELDS))


def test_rank_scores_whole_documents(exported: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ranker("rank", QUERY, "--documents", file, "--jsonl", "--model-dir", exported) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["document_id"]: row["score"] for row in found} == pytest.approx(scores(exported), abs=1e-6)
    assert {row["title"] for row in found} == {title for _, title, _ in DOCUMENTS}


def test_score_scores_whole_documents(exported: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(DOCUMENTS, columns=["document_id", *FIELDS])
    frame.assign(query_id="1", query=QUERY).to_parquet(tmp_path / "pairs.parquet")
    asked = ("score", tmp_path / "pairs.parquet", "--out", tmp_path / "out", "--model-dir", exported)
    assert ranker(*asked) == 0
    found = pq.read_table(tmp_path / "out/part-000000.parquet").to_pandas()
    assert dict(zip(found["document_id"], found["score"], strict=True)) == pytest.approx(scores(exported), abs=1e-6)


def test_feed_has_the_fields_of_the_application(application: Path, file: Path, tmp_path: Path) -> None:
    assert ranker("feed", file, "--out", tmp_path / "feed.jsonl", "--application", application) == 0
    found = [json.loads(line)["fields"] for line in (tmp_path / "feed.jsonl").read_text().splitlines()]
    assert found == [dict(zip(("document_id", *FIELDS), document, strict=True)) for document in DOCUMENTS]
    if file.suffix == ".parquet":
        assert ranker("feed", file, "--out", tmp_path / "feed", "--application", application) == 0
        assert (tmp_path / "feed/part-000000.jsonl").read_bytes() == (tmp_path / "feed.jsonl").read_bytes()


def test_feed_fields_are_an_applications_or_the_title(
    application: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert feed_fields(application).table == FIELDS
    monkeypatch.chdir(tmp_path)
    assert feed_fields(None).table == ("title",)
    with pytest.raises(InputError, match="nowhere/query-settings.json: expected a file that stage package wrote"):
        feed_fields(Path("nowhere"))
    shutil.copytree(application, "models/vespa")
    assert feed_fields(None).table == FIELDS


def test_application_searches_and_embeds_each_field(application: Path) -> None:
    schema = (application / "schemas/doc.sd").read_text()
    for name in FIELDS:
        assert f"        field {name} type string {{\n            indexing: summary | index\n" in schema
    assert '        indexing: (input title || "") . " " . (input text || "") | embed tokenizer | attribute\n' in schema
    assert "        fields: title, text\n" in schema
    profile = (application / "schemas/doc/parts_0_1_0.profile").read_text()
    assert "        expression: bm25(title) + bm25(text)\n" in profile
    assert read_settings(application) == SETTINGS


def test_whole_of_three_fields() -> None:
    expected = '(input title || "") . " " . (input abstract || "") . " " . (input body || "")'
    assert whole(["title", "abstract", "body"]) == expected


def test_query_selects_the_first_field() -> None:
    settings = vespa_settings(fields=("headline", "body"))
    assert query_body("masks", settings)["yql"].startswith("select document_id, headline from doc where")


@pytest.mark.parametrize("fields", [["title-full"], ["title", "title"], ["query"], [], ["doc_token_ids"]])
def test_params_refuse_fields_that_have_no_place(fields: list[str]) -> None:
    content = PARAMS.model_dump()
    content["join"]["document_fields"] = fields
    with pytest.raises(InputError, match=r"join\.document_fields: expected .*, found "):
        check_params(content)
