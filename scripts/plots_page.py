"""Write the template of DVC's page of plots with Vega in it, because DVC's own loads it from the web.

python -m scripts.plots_page FILE
"""

import sys
from pathlib import Path

import vl_convert
from dvc_render.html import PAGE_HTML

from ranker.common.files import atomic


def main() -> None:
    destination = Path(sys.argv[1])
    vega = vl_convert.javascript_bundle("", vl_version="5.20")
    with atomic(destination) as partial:
        partial.write_text(PAGE_HTML.replace("{scripts}", f"<script>(() => {{{vega}}})()</script>"), encoding="utf-8")


if __name__ == "__main__":
    main()
