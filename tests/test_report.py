"""The report: its text without a browser, then the page as headless Chromium shows and works it."""

import html
import json
import os
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ranker.plots import plots
from ranker.report import Results, answer, browser_data, render

HOSTILE = """</script><script>document.title = 'owned'</script>{{ 7 * 7 }} "quoted" <b>\u2028\x1b[31m"""
HOSTILE_TITLE = """<img src=x onerror="document.title = 'owned'">"""
LONG = "unbroken" * 12
DOCUMENTS = [f"d{i:02}" for i in range(1, 13)]


def measured(mean: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high} | more


COMPARISON = {
    "systems": {
        "bm25": {"nDCG@10": measured(0.411, 0.352, 0.468), "AP": measured(0.487, 0.433, 0.541)},
        "ranker": {"nDCG@10": measured(0.489, 0.431, 0.546), "AP": measured(0.545, 0.491, 0.602)},
        "random": {"nDCG@10": measured(0.2, 0.161, 0.243)},
    },
    "differences": {
        "bm25": {
            "nDCG@10": measured(0.078, 0.012, 0.141, p=0.0234, verdict="better"),
            "AP": measured(-0.0581, -0.107, -0.009, p=0.0301, verdict="worse"),
        },
        "random": {"nDCG@10": measured(0.289, -0.003, 0.346, p=0.0001, verdict="not told apart")},
    },
    "fusion_differences": {"ranker": {"nDCG@10": measured(0.0314, 0.0041, 0.0596, p=0.0412, verdict="better")}},
    "seeds": {"ranker": {"nDCG@10": {"13": 0.489, "14": 0.518, "15": 0.472, "spread": 0.0234}}},
}


def example() -> Results:
    """Three queries: 1 with twelve documents and ties, 2 with hostile texts, 3 with a text that does not break."""
    per_query = pd.DataFrame(
        {
            "query_id": ["3", "2", "1"],
            "query": [f"masks {LONG}", HOSTILE, "masks in wards"],
            "pairs": [1, 2, 12],
            "relevant": [1, 0, 3],
            "ranker nDCG@10": [0.4, 0.2, 0.2],
            "bm25 nDCG@10": [0.9, 0.3, 0.5],
            "base_cosine nDCG@10": [0.7, 0.0, 0.6],
            "gain": [-0.5, -0.1, -0.3],
        }
    )
    run = pd.DataFrame(
        {
            "query_id": ["1"] * 12 + ["2"] * 2 + ["3"],
            "document_id": [*DOCUMENTS, "h1", "h2", LONG],
            "grade": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 1],
            # d06 to d11 are equal in trec_eval's single precision
            "ranker": [7, 8, 6, 5, 4, 1 + 1e-12, 1, 1, 1, 1, 1, 9, 0.5, 0.5, 0.0],
            "bm25": [*range(12, 0, -1), 1, 2, 0.0],
            "base_cosine": [*range(12, 0, -1), 2, 1, 0.0],
        }
    )
    titles = [f"Title of {document}" for document in DOCUMENTS]
    documents = pd.DataFrame(
        {
            "document_id": [*DOCUMENTS, "h1", "h2", LONG, "never shown"],
            "title": [*titles, HOSTILE_TITLE, HOSTILE, LONG, "A title that no top ten has"],
        }
    )
    return Results(
        title=f"Held-out fold 0 {HOSTILE}",
        note="Three queries, made for a test.",
        comparison=COMPARISON,
        per_query=per_query,
        run=run,
        documents=documents,
        curves={
            "reliability": pd.DataFrame(
                {"probability": [0.1, 0.9, None], "relevant_share": [0.2, 0.7, None], "pairs": [9, 6, 0]}
            ),
            "roc": pd.DataFrame({"false_positive_rate": [0.0, 1], "ranker": [0.0, 1], "bm25": [0.3, 1]}),
            "precision_recall": pd.DataFrame({"recall": [0.0, 1], "ranker": [1.0, 0.2], "bm25": [1, 0.3]}),
        },
        counts={"kept": {"pairs": 69318, "relevant_share": 0.24137931}, "leaks": {"queries_on_both_sides": 0}},
        params={"join": {"relevant_from": 1}, "fetch": {"judgements": f"https://example.org/{LONG}"}},
        digests={"models/ranker/model.onnx": "0123abcd" * 8},
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render(example())


class Elements(HTMLParser):
    """Every element's attributes, and all text outside script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.within = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.within = tag

    def handle_data(self, data: str) -> None:
        if self.within not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.within = ""


def test_equal_results_give_equal_pages(page: str) -> None:
    assert render(example()) == page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for _, attributes in Elements(page).found:
        for name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith("#")
        assert "url(" not in (attributes.get("style") or "")
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:" in page


def test_hostile_texts_are_text(page: str) -> None:
    elements = Elements(page)
    names = [name for name, _ in elements.found]
    assert HOSTILE in elements.text
    assert names.count("script") == 2  # the data and the code
    assert "img" not in names
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["queries"][1]["text"] == HOSTILE
    assert data["titles"]["h1"] == HOSTILE_TITLE


def test_every_figure_is_on_the_page(page: str) -> None:
    text = " ".join(Elements(page).text.split()).replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")
    for shown in ("0.489 (0.431-0.546)", "0.487 (0.433-0.541)", "0.200 (0.161-0.243)"):
        assert shown in text
    assert "+0.078 p = 0.023(+0.012 to +0.141) better" in text
    assert "-0.058 p = 0.030(-0.107 to -0.009) worse" in text
    assert "+0.289 p < 0.001(-0.003 to +0.346) not told apart" in text
    assert "+0.031 p = 0.041(+0.004 to +0.060) better" in text
    assert "nDCG@10 0.023 13: 0.489, 14: 0.518, 15: 0.472" in text
    assert "pairs69,318 relevant share0.2414" in text
    assert "queries on both sides0" in text
    assert "0123abcd" * 8 in text
    assert [a["aria-label"] for name, a in Elements(page).found if name == "svg" and a["role"] == "img"] == [
        "Bars: each query's gain in nDCG@10 of the ranker over BM25",
        "Line: share relevant by probability",
        "Lines: true by false positive rate of each system",
        "Lines: precision by recall of each system",
    ]


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [("better", "helps"), ("worse", "hurts"), ("not told apart", "not told apart from BM25")],
)
def test_the_answer_follows_the_verdict(verdict: str, headline: str) -> None:
    difference = COMPARISON["differences"]["bm25"]["nDCG@10"] | {"verdict": verdict}
    comparison = COMPARISON | {"differences": {"bm25": {"nDCG@10": difference}}}
    word, shown, figures = answer(replace(example(), comparison=comparison))
    assert (word, headline in shown) == (verdict, True)
    assert figures == (
        "Its nDCG@10 is 0.489, BM25's 0.411: +0.078 (interval +0.012 to +0.141, p = 0.023). "
        "It gains on 0 of 3 queries and loses on 3."
    )


def test_what_may_be_absent_is_left_out() -> None:
    comparison = {"systems": {"ranker": COMPARISON["systems"]["ranker"]}, "differences": {}}
    text = Elements(render(replace(example(), comparison=comparison, curves={}))).text
    assert "The ranker was not compared with BM25." in text
    assert "ROC" not in text
    assert "The same training from other random numbers" not in text


def test_a_text_that_no_xml_may_hold_is_drawn() -> None:
    per_query = example().per_query.assign(query="nul \x00, escape \x1b, not a character \uffff, new\nline \U0001f9a0")
    drawn = plots(per_query, {})["gain"]
    assert "1 · nul \N{REPLACEMENT CHARACTER}, escape" in drawn


def test_queries_are_listed_worst_first() -> None:
    queries = browser_data(example())["queries"]
    assert [(query["id"], query["by_gain"]) for query in queries] == [("1", 2), ("2", 3), ("3", 1)]
    assert queries[0]["values"] == ["0.500", "0.600", "0.200"]
    assert (queries[0]["gain"], queries[0]["pairs"], queries[0]["relevant"]) == ("\N{MINUS SIGN}0.300", "12", "3")


def test_top_tens_and_moves() -> None:
    data = browser_data(example())
    bm25, cosine, ranker = data["queries"][0]["tops"]
    assert data["systems"] == ["BM25", "base model's cosine", "ranker"]
    assert [document for document, _, _ in bm25] == DOCUMENTS[:10]
    assert [move for _, _, move in bm25] == ["", "", "", "", "", "to 12", "to 11", "", "", ""]
    assert [move for _, _, move in cosine] == ["="] * 10
    assert ranker == [
        ("d12", 2, "from 12"),
        ("d02", 1, "="),
        ("d01", 0, "▼2"),
        ("d03", 0, "▼1"),
        ("d04", 0, "▼1"),
        ("d05", 0, "▼1"),
        ("d11", 1, "from 11"),
        ("d10", 0, "▲2"),
        ("d09", 0, "="),
        ("d08", 0, "▼2"),
    ]
    assert [document for document, _, _ in data["queries"][1]["tops"][2]] == ["h2", "h1"]
    assert "never shown" not in data["titles"]


CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is absent: the page is not driven in a browser")


def chromium(folder: Path, page: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Headless Chromium on a page, its profile and HOME in `folder`; nothing of the page may reach its console."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    switches = ["no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "hide-scrollbars"]
    switches += ["disable-component-update", "disable-sync", "enable-logging=stderr", "v=0"]
    switches += [f"user-data-dir={folder}/profile", "virtual-time-budget=3000"]
    command = [str(CHROMIUM), "--headless", *(f"--{switch}" for switch in switches), *arguments]
    environment = os.environ | {"HOME": str(folder)}
    url = (folder / "page.html").as_uri()
    done = subprocess.run([*command, url], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done


def seen(folder: Path, page: str) -> Any:
    """What a script on the page gave to `report`, as JSON."""
    dom = chromium(folder, page, "--dump-dom").stdout
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None, dom[-2000:]
    return json.loads(html.unescape(found[1]))


REPORT = """
function report(value) {
  const pre = document.createElement("pre");
  pre.id = "seen";
  pre.textContent = JSON.stringify(value);
  document.body.append(pre);
}
"""

DRIVE = """<script>
const get = id => document.getElementById(id);
function tell(id, type, change) { change(get(id)); get(id).dispatchEvent(new Event(type, {bubbles: true})); }
function look() {
  return {
    query: document.querySelector("#about h3").textContent,
    about: get("about").textContent,
    list: [...get("list").options].map(option => option.value),
    chosen: get("list").value,
    columns: [...get("columns").children].map(column => [column.querySelector("h4").textContent,
      [...column.querySelectorAll("li")].map(item => ["rank", "grade", "move", "id"]
        .map(part => item.querySelector("." + part).textContent))]),
    titles: get("columns").querySelector("li").textContent,
    address: location.hash,
  };
}
function brightness(colour) {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(element) {
  let behind = element;
  while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const ground = behind ? brightness(getComputedStyle(behind).backgroundColor) : 1;
  const [dark, light] = [brightness(getComputedStyle(element).color), ground].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}
const found = {title: document.title, first: look()};
get("next").click(); found.next = look();
get("next").click(); get("next").click(); found.last = look();
get("previous").click(); found.previous = look();
tell("order", "change", select => { select.value = "gain"; }); found.by_gain = look();
tell("filter", "input", input => { input.value = "WARDS masks"; }); found.filtered = look();
tell("filter", "input", input => { input.value = "no such words"; }); found.none = look();
get("next").click(); found.count = get("count").textContent;
tell("filter", "input", input => { input.value = "masks"; }); found.two = look();
tell("list", "change", select => { select.selectedIndex = 1; }); found.selected = look();
found.unnamed = [...document.querySelectorAll("input, select, button")]
  .filter(control => !control.labels.length && !control.textContent).length;
found.live = get("about").getAttribute("aria-live");
for (const details of document.querySelectorAll("details")) details.open = true;
found.contrasts = [...document.querySelectorAll("body *:not(script, style, noscript, svg *)")]
  .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
  .map(element => [contrast(element), element.outerHTML.slice(0, 90)]).sort((a, b) => a[0] - b[0]).slice(0, 3);
addEventListener("hashchange", () => { found.by_address = look(); report(found); });
location.hash = "#query=2";
</script>"""


@needs_chromium
def test_the_query_browser_works(page: str, tmp_path: Path) -> None:
    found = seen(tmp_path, page + f"<script>{REPORT}</script>" + DRIVE)
    assert found["title"].startswith("Held-out fold 0 </script><script>document.title = 'owned'</script>{{ 7 * 7 }}")
    first = found["first"]
    assert (first["query"], first["list"], first["address"]) == ("masks in wards", ["1", "2", "3"], "")
    for shown in ("Query 1, 1 of 3", "BM250.500", "cosine0.600", "ranker0.200", "\N{MINUS SIGN}0.300", "judged12"):
        assert shown in first["about"]
    names = [name for name, _ in first["columns"]]
    assert names == ["BM25", "base model's cosine", "ranker"]
    assert first["columns"][2][1][:3] == [
        ["1", "2", "from 12", "d12"],
        ["2", "1", "=", "d02"],
        ["3", "0", "▼2", "d01"],
    ]
    assert [len(rows) for _, rows in first["columns"]] == [10, 10, 10]
    assert (found["next"]["query"], found["next"]["address"]) == (HOSTILE, "#query=2")
    assert HOSTILE in found["next"]["titles"]
    assert (found["last"]["chosen"], found["previous"]["chosen"]) == ("3", "2")
    assert (found["by_gain"]["list"], found["by_gain"]["chosen"]) == (["3", "1", "2"], "3")
    assert (found["filtered"]["list"], found["filtered"]["query"]) == (["1"], "masks in wards")
    assert (found["none"]["list"], found["count"]) == ([], "0 of 3")
    assert (found["two"]["list"], found["two"]["chosen"]) == (["3", "1"], "1")
    assert found["selected"]["columns"] == first["columns"]
    assert (found["by_address"]["query"], found["by_address"]["list"]) == (HOSTILE, ["3", "1", "2"])
    assert (found["unnamed"], found["live"]) == (0, "polite")
    assert found["contrasts"][0][0] >= 4.5, found["contrasts"]


WIDTHS = """<script>
for (const details of document.querySelectorAll("details")) details.open = true;
const widths = [document.documentElement.scrollWidth];
for (let i = 0; i < 3; i++) {
  document.getElementById("next")?.click();
  widths.push(document.documentElement.scrollWidth);
}
parent.postMessage([NAME, innerWidth, Math.max(...widths)], "*");
</script>"""


@needs_chromium
def test_a_phone_does_not_scroll_sideways(page: str, tmp_path: Path) -> None:
    """In frames of 360 px, since Chromium's window is never so narrow; the second, too wide, proves the measure."""
    (tmp_path / "narrow.html").write_text(page + WIDTHS.replace("NAME", "'page'"), encoding="utf-8")
    wide = "<!doctype html><body><div style='width: 400px'>wide</div>"
    (tmp_path / "wide.html").write_text(wide + WIDTHS.replace("NAME", "'wide'"))
    wrapper = f"""<!doctype html><body><script>{REPORT}
    const found = {{}};
    addEventListener("message", event => {{
      const [name, inner, width] = event.data;
      found[name] = [inner, width];
      if (Object.keys(found).length === 2) report(found);
    }});
    </script>
    <iframe src="narrow.html" style="width: 360px; height: 800px; border: 0"></iframe>
    <iframe src="wide.html" style="width: 360px; height: 800px; border: 0"></iframe>"""
    found = seen(tmp_path, wrapper)
    assert found["page"] == [360, 360]
    assert found["wide"][1] > 400


@needs_chromium
def test_a_screenshot_is_not_blank(page: str, tmp_path: Path) -> None:
    def distinct(page: str) -> int:
        """Distinct bytes of the picture's rows, still filtered."""
        chromium(tmp_path, page, f"--screenshot={tmp_path}/page.png", "--window-size=1200,900")
        content, at, packed = (tmp_path / "page.png").read_bytes(), 8, b""
        while at < len(content):  # chunks: length, type, data, checksum
            length = int.from_bytes(content[at : at + 4], "big")
            packed += content[at + 8 : at + 8 + length] if content[at + 4 : at + 8] == b"IDAT" else b""
            at += length + 12
        return len(set(zlib.decompress(packed)))

    assert distinct("<!doctype html>") < 10
    assert distinct(page) > 100
