"""The documents' commands for a user's collection: each format, whole documents to the end, a team's data."""

import csv
import json
import re
import shutil
from pathlib import Path
from xml.sax.saxutils import escape

import pandas as pd
import pytest
import yaml
from pytest_httpserver import HTTPServer

from ranker.common.files import read_json
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.project import paths
from tests.conftest import QUERIES
from tests.factories import ROOT, Run, set_params
from tests.pipeline import metrics, ran
from tests.readme import command, commands, recipe

BEIR = command("dvc exp run -S fetch.format=beir")


@pytest.fixture
def own(clean: Path) -> Path:
    """The own files' queries and judgements as a BEIR folder and as TREC's files; each document has a text."""
    queries = {str(q["query_id"]): q["query"] for q in json.loads((clean / "mine" / LABELLED_DATA_FILE).read_text())}
    with (clean / "mine" / JUDGEMENTS_FILE).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["query_id"] in queries and row["document_id"] != "extra"]
    titles = {row["document_id"]: row["title-full"] for row in rows}
    corpus = [{"_id": name, "title": title, "text": f"A text on {title}"} for name, title in titles.items()]
    for folder in ("beir", "trec"):
        shutil.rmtree(clean / folder, ignore_errors=True)
        (clean / folder).mkdir()
        (clean / folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    asked = [{"_id": name, "text": text} for name, text in queries.items()]
    (clean / "beir/queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (clean / "beir/qrels").mkdir()
    judged = [(row["query_id"], row["document_id"], row["label"]) for row in rows]
    header = "query-id\tcorpus-id\tscore\n"
    (clean / "beir/qrels/test.tsv").write_text(header + "".join("\t".join(cells) + "\n" for cells in judged))
    topics = "".join(f'<topic number="{n}"><title>{escape(text)}</title></topic>' for n, text in queries.items())
    (clean / "trec/topics.xml").write_text(f"<topics>{topics}</topics>")
    (clean / "trec/qrels.txt").write_text("".join(f"{a} 0 {b} {grade}\n" for a, b, grade in judged))
    return clean


def pairs(folder: Path) -> list[tuple[object, ...]]:
    table = pd.read_parquet(folder / paths.PAIRS)[["query_id", "document_id", "grade"]]
    return sorted(table.itertuples(index=False, name=None))


def reciprocal_rank(folder: Path) -> float:
    """The cross-encoder's RR without a cut, by plain sorting."""
    table = pd.read_parquet(folder / paths.RUN).sort_values(["cross_encoder", "document_id"], ascending=False)
    orders = [rows["relevant"].tolist() for _, rows in table.groupby("query_id")]
    found = [1 / (order.index(True) + 1) for order in orders if any(order)]
    return sum(found) / len(found)


def test_dvc_exp_run_of_a_trec_collection_has_the_same_pairs(own: Path, run: Run) -> None:
    before = pairs(own)
    result = run(f"{command('dvc exp run -S fetch.format=trec')} split", own)
    assert ran(result.stdout)[:2] == ["fetch", "join"]
    assert pairs(own) == before
    assert read_json(own / paths.JOIN_COUNTS)["kept"]["queries"] == QUERIES


def test_dvc_exp_run_of_a_beir_folder_serves_whole_documents(own: Path, run: Run) -> None:
    """Up to the report, the feed and the page of measures; then again by the names of two experiments."""
    before = pairs(own)
    assert ran(run(BEIR, own).stdout)[-1] == "report"
    assert pairs(own) == before
    assert read_json(own / paths.RANKER / "encoding.json")["document_fields"] == ["title", "text"]
    run(command("python -m ranker feed data"), own)
    fed = json.loads((own / "feed.jsonl").read_text().splitlines()[0])["fields"]
    assert list(fed) == ["document_id", "title", "text"]
    printed = run(command("ir_measures results"), own).stdout
    found = {name: float(value) for name, value in map(str.split, printed.splitlines())}
    ours = metrics(own)["cross_encoder"] | {"RR": reciprocal_rank(own)}
    for name in ("nDCG@10", "RR", "AP", "P@5"):
        assert found[name] == pytest.approx(ours[name], abs=5e-5)


def test_two_collections_side_by_side(own: Path, run: Run) -> None:
    run(command("dvc exp run --name before"), own)
    run("git checkout -q . && dvc checkout -q --force dvc.yaml", own)
    run(command("dvc exp run --name whole"), own)
    table = run(command("dvc metrics diff --md before whole"), own).stdout
    assert table.startswith("| Path")
    assert "results/metrics/cross_encoder.json" in table


def test_a_teams_data_in_dvc_and_in_ci(own: Path, run: Run, httpserver: HTTPServer, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "beir"), "zip", own, "beir"))
    httpserver.expect_request("/beir.zip").respond_with_data(archive.read_bytes(), headers={"ETag": '"1"'})
    try:
        run(f"{command('dvc add beir')} -q", own)
        run(command("dvc import-url $URL"), own, URL=httpserver.url_for("/beir.zip"))
        assert (own / "beir.zip").read_bytes() == archive.read_bytes()
        set_params(own, fetch__format="beir", fetch__folder="beir.zip")
        run(f"dvc remote add --default there {tmp_path / 'remote'} && dvc push -q", own)
        run(command("dvc pull"), own)
        dry = run(command("dvc repro --dry"), own).stdout
        assert ran(dry)[0] == "fetch"
        run("dvc repro join", own)
        run(command("dvc metrics diff --md HEAD"), own)
        assert read_json(own / paths.JOIN_COUNTS)["kept"]["queries"] == QUERIES
    finally:
        run("rm -f beir.dvc beir.zip.dvc beir.zip && git checkout -q . .dvc/config", own)


def write_shop(folder: Path) -> None:
    """200 judgements of the own files as a table, ten a query, and their titles with a description as products."""
    queries = {str(q["query_id"]): q["query"] for q in json.loads((folder / "mine" / LABELLED_DATA_FILE).read_text())}
    judged = pd.read_csv(folder / "mine" / JUDGEMENTS_FILE, dtype=str, keep_default_na=False)
    judged = judged[judged["query_id"].isin(queries) & judged["label"].isin(["0", "1", "2"])]
    judged = judged.sort_values("label", ascending=False, kind="stable")
    best, worst = judged.groupby("query_id").head(5), judged.groupby("query_id").tail(5)
    rows = pd.concat([best, worst])
    table = {"Search term": rows["query_id"].map(queries), "Product ID": rows["document_id"], "Rating": rows["label"]}
    shutil.rmtree(folder / "shop", ignore_errors=True)
    (folder / "shop").mkdir()
    pd.DataFrame(table).to_csv(folder / "shop/judgements.csv", sep=";", index=False, encoding="utf-8-sig")
    products = judged.drop_duplicates("document_id")[["document_id", "title-full"]]
    products.columns = ["sku", "title"]
    products.assign(description="A report. " + products["title"]).to_csv(folder / "shop/products.csv", index=False)


def change_params(folder: Path, document: Path) -> None:
    """Make the changes of a document's YAML block in params.yaml."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    (block,) = re.findall(r"```yaml\n(.*?)```", document.read_text(), re.DOTALL)
    for section, values in yaml.safe_load(block).items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def test_a_hundred_thousand_products_are_joined(clean: Path, run: Run) -> None:
    """Ids that a spreadsheet changed are named; a product that is in no table of products is counted."""
    write_shop(clean)
    rows = [f"7{number:06},Product {number},A text" for number in range(100_000)]
    with (clean / "shop/products.csv").open("a") as file:
        file.writelines(f"{row}\n" for row in ["00123,Masks,A text", *rows])
    with (clean / "shop/judgements.csv").open("a") as file:
        file.writelines(["masks;123;1\n", "masks;nowhere;1\n"])
    change_params(clean, ROOT / "docs/own-data.md")
    printed = run("dvc repro join", clean).stdout
    assert "1 of 2 judged documents that are unknown differ from a document's id in zeros" in printed
    assert "such as 123 and 00123" in printed
    counts = read_json(clean / paths.JOIN_COUNTS)
    assert counts["dropped"]["judgement_without_document"] == 2
    assert counts["kept"]["documents"] > 100_000


def test_from_a_spreadsheet_to_a_verdict(clean: Path, run: Run) -> None:
    """docs/own-data.md, with the tests' base model and two folds; a person fills in the form."""
    write_shop(clean)
    document = ROOT / "docs/own-data.md"
    change_params(clean, document)
    first, _, form, dry, merge, again = commands(document)[:6]
    assert first == again == "make repro"
    for line in recipe("repro"):
        printed = run(line, clean).stdout
    counts = read_json(clean / paths.JOIN_COUNTS)
    assert (counts["kept"]["pairs"], counts["kept"]["queries"]) == (200, QUERIES)
    assert "\nnext: " in printed
    run(form, clean)
    rows = pd.read_csv(clean / "grades.csv", dtype=str, keep_default_na=False)
    assert list(rows) == ["query_id", "query", "document_id", "title", "description", "grade"]
    rows.assign(grade=[str(row % 2) for row in range(len(rows))]).to_csv(clean / "grades.csv", index=False)
    before = (clean / "data/judged.csv").read_bytes()
    assert f"{len(rows)} new judgements" in run(dry, clean).stdout
    assert (clean / "data/judged.csv").read_bytes() == before
    run(merge, clean)
    for line in recipe("repro"):
        run(line, clean)
    assert read_json(clean / paths.JOIN_COUNTS)["kept"]["pairs"] == 200 + len(rows)
    served = read_json(clean / "results/metrics/reranked/cross_encoder.json")
    assert served["Judged@10"] == 1
    ranked = run('python -m ranker rank "masks" --documents shop/products.csv --top 1', clean).stdout
    assert ranked.splitlines()[0].split() == ["rank", "score", "document_id", "title"]
    run(
        "dvc gc --workspace --all-tags --force", clean
    )  # the document's, last in this file: it deletes the last commit's
    assert "up to date" in run("dvc repro", clean).stdout
