"""ranker.export.one_logit: the score as the only logit, of both heads, in fp32 and int8."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import PreTrainedModel

from ranker.contract.layout import INPUTS
from ranker.export.int8 import SCHEMES, prepare, quantise
from ranker.export.one_logit import one_logit
from ranker.export.onnx import export_onnx
from ranker.model.cross_encoder import new_classifier, new_segment_cosine
from tests.factories import PARAMS, make_pairs


@pytest.fixture(scope="module", params=["classifier", "cosine"])
def models(
    request: pytest.FixtureRequest, fetched_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreTrainedModel, Path]:
    """A model with this head, and a folder with its fp32.onnx and int8.onnx."""
    model = new_classifier(fetched_model, 5) if request.param == "classifier" else new_segment_cosine(fetched_model)
    folder = tmp_path_factory.mktemp(request.param)
    export_onnx(model.eval(), folder / "fp32.onnx", PARAMS.export)
    quantise(prepare(folder / "fp32.onnx", model.config), SCHEMES[0], folder / "int8.onnx", PARAMS.export)
    return model, folder


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_one_logit_is_the_difference_of_two(models: tuple[PreTrainedModel, Path], kind: str) -> None:
    model, folder = models
    path, inputs = folder / f"{kind}.onnx", make_pairs(2, seed=3).inputs(range(20))
    given = path.read_bytes()
    two = onnx.load(path)
    one = one_logit(two)
    assert two.SerializeToString() == onnx.load_from_string(given).SerializeToString()  # the given model is left alone
    assert [(value.name, value.type.tensor_type.shape.dim[1].dim_value) for value in one.graph.output] == [
        ("logits", 1)
    ]
    assert [value.name for value in one.graph.input] == list(INPUTS)
    assert one.opset_import == two.opset_import
    assert one.metadata_props == two.metadata_props
    assert one.SerializeToString() == one_logit(two).SerializeToString()
    both, score = (
        onnxruntime.InferenceSession(content.SerializeToString()).run(None, inputs)[0] for content in (two, one)
    )
    assert (score.dtype, score.shape) == (np.float32, (20, 1))
    np.testing.assert_array_equal(score[:, 0], both[:, 1] - both[:, 0])
    with torch.inference_mode():
        exact = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()
    assert np.abs(score[:, 0] - np.diff(exact)[:, 0]).max() < {"fp32": 1e-5, "int8": 0.5}[kind]
    assert np.corrcoef(score[:, 0], np.diff(exact)[:, 0])[0, 1] > 0.9  # and not its opposite


def test_one_logit_refuses_a_model_that_has_one(models: tuple[PreTrainedModel, Path]) -> None:
    one = one_logit(onnx.load(models[1] / "fp32.onnx"))
    with pytest.raises(ValueError, match=r"expected one output, logits, of two columns, found {'logits': \[1\]}"):
        one_logit(one)
