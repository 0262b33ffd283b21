"""The report's and DVC's pages, drawn and operated by headless Chromium."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from ranker.report.page import Results, render
from scripts.plots_page import SNIPPET, template
from tests.browser import Browser, marks
from tests.example_report import HOSTILE, STACKS, example, served_example, since_example, timed
from tests.factories import refusal

WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(example(), tmp_path_factory.mktemp("page"))


def written(results: Results, folder: Path) -> Path:
    (folder / "page.html").write_text(render(results), encoding="utf-8")
    return folder / "page.html"


DRIVE = """(async () => {
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
const moved = new Promise(done => addEventListener("hashchange", done));
location.hash = "#query=2";
await moved;
found.by_address = look();
return found;
})()"""


def test_page_browses_queries(page: Path, chromium: Browser) -> None:
    chromium.open(page, 1200)
    found = chromium.run(DRIVE)
    assert found["title"].startswith(
        "shop-ranker 0.1.0 on </script><script>document.title = 'owned'</script>{{ 7 * 7 }}"
    )
    first = found["first"]
    assert (first["query"], first["list"], first["address"]) == ("masks in wards", ["1", "2", "3"], "")
    for shown in ("Query 1, 1 of 3", "BM250.600", "cosine0.500", "cross-encoder0.200", "judged12"):
        assert shown in first["about"]
    assert "gain over base model's cosine\N{MINUS SIGN}0.300" in first["about"]
    names = [name for name, _ in first["columns"]]
    assert names == ["BM25", "base model's cosine", "cross-encoder"]
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


def test_pages_draw_every_plot(page: Path, chromium: Browser, tmp_path: Path) -> None:
    """A bar for each query and a line for each system, from the table that decides.

    The frontier has a line and a point for each stack but the two references. The curve over judgements has two stacks
    of three points, and a line for each.
    """
    gain, three = "Gain of each query over base model's cosine", {"Reliability": 4, "ROC": 3, "Precision and recall": 2}
    stacks = {"What a gain costs": 1 + 14, "Is more judging worth it?": 2 * (3 + 1)}
    served = served_example()
    in_time: Any = served.comparison | {"stacks": timed(STACKS)}
    for width in WIDTHS:
        assert marks(chromium, page, width) == {gain: 3} | three
        for results in (served, replace(served, comparison=in_time)):
            assert marks(chromium, written(results, tmp_path), width) == stacks | {gain: 2, "Depth": 3} | three


def test_page_does_not_scroll_sideways_nor_break_words(
    page: Path, chromium: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """This must hold with everything opened and selected; a word that fits its cell stands on one line."""
    since = written(since_example(), tmp_path_factory.mktemp("since"))
    for file in (written(served_example(), tmp_path), since, page):
        for width in (*WIDTHS, 360):
            chromium.open(file, width)
            assert chromium.run(OPENED) == width
            assert chromium.run(BROKEN) == []
    chromium.run(
        "document.body.append(Object.assign(document.createElement('pre'), {textContent: 'wide '.repeat(99)}))"
    )
    assert chromium.run("document.documentElement.scrollWidth") > 360  # the measure


OPENED = """(() => {
for (const details of document.querySelectorAll("details")) details.open = true;
const widths = [document.documentElement.scrollWidth];
for (let i = 0; i < 3; i++) {
  document.getElementById("next").click();
  widths.push(document.documentElement.scrollWidth);
}
return Math.max(...widths);
})()"""

BROKEN = """[...document.querySelectorAll("th, td, dd, dt")].flatMap(cell => {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), broken = [];
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/[\\w.]{2,16}(?![\\w.])/g)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      const before = walker.currentNode.data[word.index - 1] ?? " ";
      if (/[\\s(]/.test(before) && range.getClientRects().length > 1) broken.push(word[0]);
    }
  }
  return broken;
})"""


def test_plots_stand_beside_each_other(page: Path, chromium: Browser) -> None:
    """If two columns fit, they must be about equally long."""
    chromium.open(page, 1280)
    ends = chromium.run(ENDS)
    assert len(ends) == 2
    assert abs(ends[0] - ends[1]) < 450  # a plot's height


ENDS = """Object
  .values(Object.groupBy(document.querySelectorAll("figure"), figure => figure.getBoundingClientRect().left))
  .map(column => Math.max(...column.map(figure => figure.getBoundingClientRect().bottom)))"""


def test_first_tens_of_both_releases_stand_side_by_side(chromium: Browser, tmp_path: Path) -> None:
    """Above each other on a telephone. The first query is open, and marks have a ground of their own."""
    file = written(since_example(), tmp_path)
    for width, beside in ((1280, True), (390, False)):
        chromium.open(file, width)
        found = chromium.run(SIDES)
        assert [query["open"] for query in found["queries"]] == [True, False]
        for query in found["queries"]:
            (before, now), tops = query["lefts"], query["tops"]
            assert ((before < now), (tops[0] == tops[1])) == (beside, beside)
        assert found["alone"] == ["gone now", "new", "new", "new", "new"]
        assert len(set(found["grounds"])) == 2
        assert found["order"] == ["main", "since", "measures"]
        assert found["narrowest"] >= 220  # pixels of a title
    assert found["title"].endswith(
        ", against 0.0.9: BM25 and the retriever, fused with the cross-encoder, nDCG@10 0.520"
    )


SIDES = """(() => {
const queries = [...document.querySelectorAll("details.changed")].map(query => {
  const open = query.open;
  query.open = true;
  const boxes = [...query.querySelectorAll(".columns > section")].map(side => side.getBoundingClientRect());
  return {open, lefts: boxes.map(box => box.left), tops: boxes.map(box => box.top)};
});
const items = [...document.querySelectorAll("details.changed li")];
return {
  queries,
  alone: [...document.querySelectorAll("details.changed .move")].map(mark => mark.textContent),
  grounds: items.map(item => getComputedStyle(item).backgroundColor),
  order: [...document.querySelectorAll("#main, #since, #measures")].map(part => part.id),
  narrowest: Math.min(...items.map(item => item.querySelector("div").getBoundingClientRect().width)),
  title: document.title,
};
})()"""


@pytest.fixture(scope="module")
def dvc_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("dvc") / "plots.html"
    file.write_text(template(vl_convert.javascript_bundle(SNIPPET, vl_version="5.20")), encoding="utf-8")
    return file


def test_dvc_page_draws_hostile_texts_as_text(dvc_template: Path, chromium: Browser, tmp_path: Path) -> None:
    points: list[dict[str, Any]] = [
        {"name": text, "gain": gain, "rev": "workspace"}
        for text, gain in (
            (f"{HOSTILE} --> </plaintext><script>document.title = 'owned'</script>", 0.1),
            ("masks", -0.2),
        )
    ]
    properties = {"x": "gain", "y": "name", "template": "bar_horizontal_sorted", "title": HOSTILE}
    plots = [VegaRenderer(points, name, **properties) for name in ("one", "two")]
    render_html(plots, tmp_path / "index.html", dvc_template)
    for width in WIDTHS:
        assert marks(chromium, tmp_path / "index.html", width) == {HOSTILE: 2}
        assert chromium.run("document.title") == "Plots"
        assert chromium.run("document.querySelectorAll('figure').length") == 2


@pytest.mark.parametrize("script", ["", "(() => {})()", "window.vegaEmbed=1</script>"])
def test_dvc_page_is_not_written_without_vega(script: str) -> None:
    assert "expected a script of vegaEmbed, found " in refusal(template, script)
