"""Lay the exported models out for other tools, each with a model card; an idle retriever leaves its note.

python -m stages.hub
"""

import shutil
from pathlib import Path

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, read_json, sha256, write_json
from ranker.contract.embedding import read_embedding_contract
from ranker.contract.folder import CONTRACT_FILE, EMBEDDING_FILE, IDLE_FILE, MANIFEST_FILE
from ranker.contract.layout import read_contract
from ranker.hub.card import Facts, write_card
from ranker.hub.folders import HUB_FILES, WEIGHTS, write_ranker, write_retriever
from ranker.hub.truncation import read_otherwise
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.project.sides import held_out_pairs


def facts(params: Params, model: Path, folder: Path, pairs: pd.DataFrame) -> Facts:
    """The values of both cards; `model` is the exported folder, and `folder` its layout for others."""
    _, held_out = held_out_pairs(pairs, params.split.held_out)
    return {
        "params": params,
        "manifest": read_json(model / MANIFEST_FILE),
        "comparison": read_json(paths.COMPARISON),
        "queries": held_out["query_id"].nunique(),
        "int8": (folder / HUB_FILES["int8"]).is_file(),
    }


def lay_out_ranker(params: Params, folder: Path, pairs: pd.DataFrame) -> None:
    """Write the cross-encoder's folder and card."""
    write_ranker(paths.RANKER, paths.CHECKPOINT, folder)
    layout, judged = read_contract(paths.RANKER / CONTRACT_FILE), pairs[pairs["judged"]]
    write_card(
        folder,
        facts(params, paths.RANKER, folder, pairs),
        weights=(folder / WEIGHTS).is_file(),
        layout=layout,
        pairs=len(judged),
        read_otherwise=read_otherwise(layout, *tables.token_counts(judged)),
    )


def lay_out_retriever(params: Params, folder: Path, pairs: pd.DataFrame) -> None:
    """Write the retriever's folder and card, or the note that params.yaml asks for none."""
    if (paths.RETRIEVER / IDLE_FILE).is_file():
        folder.mkdir()
        shutil.copyfile(paths.RETRIEVER / IDLE_FILE, folder / IDLE_FILE)
        return
    write_retriever(paths.RETRIEVER, folder)
    layout, size = read_embedding_contract(paths.RETRIEVER / EMBEDDING_FILE)
    write_card(folder, facts(params, paths.RETRIEVER, folder, pairs), layout=layout, size=size)


def main() -> None:
    params, pairs = load_params(), tables.read_table(paths.SPLIT_PAIRS)
    with atomic(paths.HUB) as partial:
        lay_out_ranker(params, partial / paths.HUB_RANKER.name, pairs)
        lay_out_retriever(params, partial / paths.HUB_RETRIEVER.name, pairs)
        files = sorted(file for file in partial.rglob("*") if file.is_file())
        digests = {file.relative_to(partial).as_posix(): sha256(file) for file in files}
        about = {"name": params.export.name, "version": params.export.version}
        write_json(partial / MANIFEST_FILE, about | {"files": digests})
    print(f"hub: {paths.HUB_RANKER} and {paths.HUB_RETRIEVER} load in other tools; README.md in each says how")


if __name__ == "__main__":
    run_stage("hub", main)
