"""Fetch the base model and check its digest; replace the last copy only by a complete one.

python -m stages.base_model
"""

from ranker.base.base_model import fetch_base_model
from ranker.common.errors import run_stage
from ranker.common.files import read_json
from ranker.project import paths
from ranker.project.params import load_params


def main() -> None:
    params = load_params().fetch
    fetch_base_model(params.base_model, paths.BASE_MODEL, params.base_sha256)
    encoder = read_json(paths.BASE_MODEL / paths.SENTENCE_ENCODER_FILE)
    kind = f"a sentence encoder ({encoder['pooling']})" if encoder["is_one"] else "no sentence encoder"
    print(f"base_model: {params.base_model}: {kind}; sha256 {params.base_sha256}")


if __name__ == "__main__":
    run_stage("base_model", main)
