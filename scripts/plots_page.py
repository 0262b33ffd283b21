"""Write a template for DVC's plots page with Vega inlined, because DVC's own template loads it from the web.

python -m scripts.plots_page FILE
"""

import sys
from pathlib import Path

import vl_convert

from ranker.common.errors import InputError, run_stage
from ranker.common.files import atomic

TEMPLATE = Path(__file__).with_suffix(".html")
SNIPPET = "window.vegaEmbed = vegaEmbed;"  # an empty snippet gives an empty bundle


def template(vega: str) -> str:
    """The page with this script inlined; InputError if it does not define `vegaEmbed` or contains </script."""
    if "vegaEmbed=" not in vega or "</script" in vega:
        raise InputError(f"vl_convert: expected a script of vegaEmbed, found {vega[:60]!r}")
    return TEMPLATE.read_text(encoding="utf-8").replace("{vega}", vega)


def main() -> None:
    page = template(vl_convert.javascript_bundle(SNIPPET, vl_version="5.20"))
    with atomic(Path(sys.argv[1])) as partial:
        partial.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run_stage("plots_page", main)
