"""Ids that a spreadsheet changed: leading zeros, case, white space, a decimal point."""

import re
from collections.abc import Collection, Iterable


def changed_ids(unknown: Collection[str], document_ids: Iterable[str]) -> dict[str, str]:
    """Each id of `unknown` that a document's id equals but for what spreadsheets change, with that id.

    >>> changed_ids(["123", "7.0", "d9", "x"], ["00123", "7", "D9", "d10"])
    {'123': '00123', '7.0': '7', 'd9': 'D9'}
    """
    folded = {_folded(name): name for name in unknown}
    found = {folded[key]: name for name in document_ids if (key := _folded(name)) in folded}
    return {name: found[name] for name in unknown if name in found}


def _folded(name: str) -> str:
    return re.sub(r"\.0+$", "", name.strip().casefold()).lstrip("0")
