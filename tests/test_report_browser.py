"""The report's page as headless Chromium shows and works it."""

import html
import json
import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from ranker.report.page import render
from tests.example_report import HOSTILE, example

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is absent: the page is not driven in a browser")


@pytest.fixture(scope="module")
def page() -> str:
    return render(example())


def chromium(folder: Path, page: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Headless Chromium on a page, its profile and HOME in `folder`; nothing of the page may reach its console."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    switches = ["no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "hide-scrollbars"]
    switches += ["disable-component-update", "disable-sync", "enable-logging=stderr", "v=0"]
    switches += [f"user-data-dir={folder}/profile", "virtual-time-budget=3000"]
    command = [str(CHROMIUM), "--headless", *(f"--{switch}" for switch in switches), *arguments]
    environment = os.environ | {"HOME": str(folder)}
    url = (folder / "page.html").as_uri()
    done = subprocess.run([*command, url], env=environment, capture_output=True, text=True, timeout=300, check=True)
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
def test_page_browses_queries(page: str, tmp_path: Path) -> None:
    found = seen(tmp_path, page + f"<script>{REPORT}</script>" + DRIVE)
    assert found["title"].startswith("Held-out fold 0 </script><script>document.title = 'owned'</script>{{ 7 * 7 }}")
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
def test_page_on_a_phone_does_not_scroll_sideways(page: str, tmp_path: Path) -> None:
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
def test_page_is_not_blank(page: str, tmp_path: Path) -> None:
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
