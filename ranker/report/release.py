"""The new version since the last release, in sentences: the difference, what a query costs, and what it was made of."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ranker.metrics.comparison import Against, Paired, StackTable
from ranker.metrics.ranking import MAIN
from ranker.metrics.verdict import (
    BETTER,
    ENOUGH_JUDGED,
    FEWEST_QUERIES,
    NO_DIFFERENCE,
    SLOWER,
    WORSE,
    is_little,
)
from ranker.report.answer import p_value, signed
from ranker.report.stacks import speak, spoken
from ranker.stack.stack import Stack

LEADS = {BETTER: "significantly better", NO_DIFFERENCE: NO_DIFFERENCE, WORSE: "significantly worse"}
NOT_TIMED = "the release's milliseconds are not known, because no model of its architecture was timed on its texts"
HEX_DIGEST = re.compile("[0-9a-f]{64}")
ABSENT = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version: its stack, what it was made of, and what a query of it costs."""

    stack: Stack
    counts: Mapping[str, int]  # queries, judgements, judged_documents; empty if it does not name them
    data: Mapping[str, str]  # hex SHA-256 of each file
    params: Mapping[str, Any]  # SECTION.NAME -> value
    bytes: int | None  # of the ONNX files that the stack runs; None in cross-validation, which exports none
    ms: float | None  # of processor time a query; None if no model of its architecture was timed


@dataclass(frozen=True, kw_only=True)
class LastRelease(Version):
    """The release that evaluate.against names."""

    version: str
    against: str  # the version of an artifact, a folder or an archive
    reason: str | None  # by which it was registered against the verdict

    @property
    def name(self) -> str:
        """Its name in a sentence."""
        return self.against if "@v" in self.against else f"version {self.version} in {self.against}"


def heading(name: str, version: str, collection: str, last: LastRelease | None) -> str:
    """The page's first line, such as "shop-ranker 1.2.0 on shop, against 1.1.0"."""
    return f"{name} {version} on {collection}{f', against {last.version}' if last else ''}"


def subtitle(now: Version, last: LastRelease | None) -> str:
    """The collection's counts and the digest of its data, and the release that the page compares with."""
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in now.counts.items())
    against = f"Against {last.name}: {speak(last.stack)}." if last else "No release to compare with."
    return f"{f'{counts}, ' if counts else ''}data {digest(now.data)}. {against}"


def digest(data: Mapping[str, str]) -> str:
    """Eight hex digits for all files of the data.

    >>> digest({"a": "01", "b": "02"}) == digest({"b": "02", "a": "01"}), digest({"a": "01"})
    (True, '8b7f7af6')
    """
    lines = [f"{file} {found}\n" for file, found in sorted(data.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:8]


def since(found: Against | None, now: Version, last: LastRelease | None) -> list[str]:
    """The verdict on the new version against the last release, a line each; none without a release."""
    if last is None:
        return []
    named = f"Since {last.name} ({speak(last.stack)})"
    lines = [compared(found, named) if found else f"{named}: not compared, because no stack is measured here."]
    if cost := costs(found, now, last):
        lines.append(cost)
    if last.reason is not None:
        lines.append(f'{last.name} was registered against the verdict, because: "{last.reason.strip()}".')
    return lines


def compared(found: Against, named: str, power: bool = True) -> str:
    """The differences by each column that decides, or the reason that there are none.

    With `power`, a verdict of no difference also says which difference the queries could show.
    """
    if why := found.get("why"):
        return f"{named}: not compared, because {why}."
    left_out = found["trained_on"]
    left_out_too = f" Queries left out, because one of the two was trained on them: {left_out:,}." if left_out else ""
    if not found["by"]:
        return (
            f"{named}: not compared, because {found['queries']} queries are left that neither was trained on, and "
            f"{FEWEST_QUERIES} are needed.{left_out_too}"
        )
    return (
        f"{named}, {_lead(found)}: {differences(found)}.{_power(found) if power else ''}{_little(found)}{left_out_too}"
    )


def against_free(found: Against | None, table: StackTable | None) -> str:
    """The shipped stack against the best search that costs nothing; empty where the table's first answer says it."""
    if not found or not table or not found["by"] or found["stack"] == table["shipped"]:
        return ""
    training = next((each["by"] for each in table["answers"] if each["question"] == "training"), {})
    if training and all(each["stack"] == table["shipped"] for each in training.values()):
        return ""
    own, other = spoken(table["shipped"], table), spoken(found["stack"], table)
    named = f"The stack of params.yaml ({own}) against the best search that costs nothing ({other})"
    return f"{named}, {_lead(found)}: {differences(found)}.{_power(found)}"


def verdict_since(found: Against | None) -> str | None:
    """Worse, if any column says so, else the last one's verdict; None without one, or if the columns contradict."""
    if not found or not found["by"] or not found["agree"]:
        return None
    return WORSE if any(by["verdict"] == WORSE for by in found["by"].values()) else _last(found)["verdict"]


def _last(found: Against) -> Paired:
    return list(found["by"].values())[-1]


def _lead(found: Against) -> str:
    word = verdict_since(found)
    return LEADS[word] if word else "the two columns contradict each other"


def differences(found: Against) -> str:
    """Each column's mean difference, interval, p, and the queries on which the new stack gains and loses."""
    parts = [
        f"{signed(each['mean'])} {column} (95% interval {signed(each['low'])} to {signed(each['high'])}, "
        f"{p_value(each['p'])}), better on {each['gains']} of {each['queries']} queries and worse on {each['losses']}"
        for column, each in found["by"].items()
    ]
    return "; ".join(parts)


def _power(found: Against) -> str:
    """The difference that these queries could show, after a verdict that there is none; or to judge more."""
    if not found["agree"]:
        return " Judge more first."
    last = _last(found)
    if last["verdict"] != NO_DIFFERENCE or not last["could_show"] > 0:
        return ""
    return f" These {last['queries']} queries show a difference of {last['could_show']:.3f} or more four times in five."


def _little(found: Against) -> str:
    if len(found["by"]) < 2:
        return ""
    return (
        f" Only {found['judged']:.0%} of the first ten of one of the two are judged (below {ENOUGH_JUDGED:.0%}), so "
        "lists without their unjudged documents decide, too."
    )


def costs(found: Against | None, now: Version, last: LastRelease) -> str:
    """Sizes and milliseconds, before and now, as far as both are known, and if a small gain costs much more time."""
    parts = []
    if now.bytes is not None and last.bytes is not None:
        parts.append(f"models of {megabytes(last.bytes)} → {megabytes(now.bytes)}")
    if now.ms is not None:
        before = f"processor milliseconds a query {rounded(last.ms)} → " if last.ms is not None else ""
        parts.append(f"{before}{rounded(now.ms)}" if before else NOT_TIMED)
    slower = _slower(found, now, last)
    return f"Cost: {'; '.join(parts)}.{slower}" if parts else ""


def _slower(found: Against | None, now: Version, last: LastRelease) -> str:
    if not found or not found["by"] or not now.ms or not last.ms or now.ms < SLOWER * last.ms:
        return ""
    gain = found["by"][MAIN]["mean"]
    if not is_little(gain, verdict_since(found) or NO_DIFFERENCE):
        return ""
    return f" It takes {rounded(now.ms / last.ms)} times as long for {signed(gain)}."


def rounded(value: float) -> str:
    """Two digits, and no fraction of what is 10 or more.

    >>> rounded(19.5), rounded(3.14), rounded(0.0465)
    ('20', '3.1', '0.046')
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def megabytes(size: int) -> str:
    """A size in megabytes.

    >>> megabytes(22_984_123), megabytes(0)
    ('23 MB', '0 MB')
    """
    return f"{size / 1e6:.0f} MB" if size >= 10**7 or not size else f"{size / 1e6:.1f} MB"


@dataclass(frozen=True)
class Change:
    """A count, file or param of the last release, and of the new version, as texts."""

    name: str
    before: str
    now: str
    equal: bool


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Each name of the two, those of `now` first, in its order; ABSENT stands where one lacks it."""
    return [
        Change(
            name,
            shown(before[name]) if name in before else ABSENT,
            shown(now[name]) if name in now else ABSENT,
            name in before and name in now and before[name] == now[name],
        )
        for name in dict.fromkeys([*now, *before])
    ]


def shown(value: Any) -> str:
    """A count, digest or param as a short text.

    >>> shown(2854), shown(0.25), shown(""), shown(["title"]), shown("0123456789abcdef" * 4)
    ('2,854', '0.25', '""', '["title"]', '01234567')
    """
    if isinstance(value, str):
        return value[:8] if HEX_DIGEST.fullmatch(value) else value or '""'
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)
