"""What the tests of the real pipeline look at: outputs, measures, and which stages DVC ran."""

import json
import re
from pathlib import Path
from typing import Any

from ranker.common.files import sha256
from ranker.project import paths, tables


def outputs(folder: Path) -> dict[str, str]:
    """Digest of every output file of the DAG, and of the cross-validation where it has run."""
    files = [
        file
        for path in vars(tables).values()
        if isinstance(path, Path) and path.parent != paths.SAMPLE_JUDGEMENTS.parent
        for file in ([folder / path] if (folder / path).is_file() else (folder / path).rglob("*"))
        if file.is_file()
    ]
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def measures(folder: Path) -> dict[str, Any]:
    return json.loads((folder / paths.MEASURES).read_text())


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)
