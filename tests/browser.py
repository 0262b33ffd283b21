"""Debian's Chromium without a screen, driven over its debugging pipe: a page's drawing, its errors and its requests."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
SWITCHES = """headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking hide-scrollbars
disable-component-update disable-sync remote-debugging-pipe"""
ERRORS = {"error", "assert"}  # events that a page writes to its console
SETTLED = "new Promise(done => setTimeout(() => requestAnimationFrame(done), 300))"


class Browser:
    """One page at a time; `said` holds the errors it wrote to its console, `asked` the URLs it requested."""

    def __init__(self, folder: Path) -> None:
        down, self._write = os.pipe()
        self._read, up = os.pipe()
        command = [str(CHROMIUM), *(f"--{switch}" for switch in SWITCHES.split()), f"--user-data-dir={folder}/profile"]
        # Chromium reads from file 3 and writes to file 4
        shell = ["bash", "-c", f'exec 3<&{down} 4>&{up} "$@"', "bash", *command, "about:blank"]
        environment = os.environ | {"HOME": str(folder)}
        self._process = subprocess.Popen(
            shell, pass_fds=(down, up), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(down)
        os.close(up)
        self._answers = self._messages()
        self._count = 0
        self._session: dict[str, str] = {}
        self.said: list[str] = []
        self.asked: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def _messages(self) -> Iterator[dict[str, Any]]:
        """Messages of Chromium, each ended by a NUL."""
        with os.fdopen(self._read, "rb") as pipe:
            rest = b""
            while part := pipe.read1(1 << 20):
                *whole, rest = (rest + part).split(b"\0")
                yield from map(json.loads, whole)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return Chromium's answer to one call, and record the events of the page that arrive before it."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": params} | self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while (message := next(self._answers)).get("id") != self._count:
            self._note(message)
        assert "error" not in message, message
        return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"), message.get("params"):
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.said.append(f"{details['text']} {details.get('exception', {}).get('description', '')}")
            case "Runtime.consoleAPICalled", {"type": kind, "args": arguments} if kind in ERRORS:
                self.said.append(" ".join(str(a.get("value", a.get("description"))) for a in arguments))
            case "Log.entryAdded", {"entry": entry} if entry["level"] in ERRORS:
                self.said.append(entry["text"])
            case "Network.requestWillBeSent", {"request": request}:
                self.asked.append(request["url"])
            case "Page.loadEventFired", _:
                self._loaded = True

    def open(self, page: Path | str, width: int, height: int = 900) -> None:
        """Load a file or an address to its end in a window of this many pixels."""
        self.said, self.asked, self._loaded = [], [], False
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not self._loaded:
            self._note(next(self._answers))
        self.run(SETTLED)

    def run(self, expression: str) -> Any:
        """Evaluate a JavaScript expression in the page, await it and return its value."""
        found = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, file: Path) -> None:
        """Return the whole page as PNG, at its full height."""
        taken = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def close(self) -> None:
        os.close(self._write)  # Chromium ends when its pipe closes
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A running Chromium. Without one the test is skipped with one line; with BROWSER=required, as in CI, it fails."""
    if CHROMIUM is None:
        missing = "chromium is absent: no page is looked at"
        (pytest.fail if os.environ.get("BROWSER") == "required" else pytest.skip)(missing)
    running = Browser(folder)
    try:
        yield running
    finally:
        running.close()


MARKS = """[...document.querySelectorAll("figure")].map(figure => [
  (figure.querySelector("figcaption b") ?? figure.querySelector("figcaption")).textContent,
  [...figure.querySelectorAll(".role-mark path")].filter(mark => {
    const {width, height} = mark.getBoundingClientRect();
    return width + height > 1 && mark.getTotalLength() > 1;
  }).length])"""


def marks(running: Browser, page: Path, width: int) -> dict[str, int]:
    """Count the bars, lines and points of each chart on a page, by its caption.

    The page must write no error, request no other file, and be no wider than its window.
    """
    running.open(page, width)
    assert running.said == []
    assert [url for url in running.asked if not url.startswith("data:")] == [page.as_uri()]
    assert running.run("document.documentElement.scrollWidth") <= width
    return dict(running.run(MARKS))
