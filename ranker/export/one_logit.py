"""A cross-encoder's ONNX model with one logit, its score, for tools that read the first of a model's outputs."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ranker.contract.layout import NOT_RELEVANT, OUTPUT, RELEVANT

BOTH = "both_logits"  # the two that the exported model gives
SCORE = np.zeros((2, 1), np.float32)  # their product with it is the score
SCORE[[NOT_RELEVANT, RELEVANT]] = [[-1], [1]]


def one_logit(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose output `logits` is logit 1 - logit 0, float32 [batch, 1], of fp32 and int8 models with any head.

    A product with -1 and 1 gives the bits of `ranker.contract.layout.relevance`; other weights would round otherwise.
    ValueError unless `logits`, float32 [batch, 2], is the model's only output.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    found = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:] for value in graph.output}
    if found != {OUTPUT: [2]}:
        raise ValueError(f"expected one output, {OUTPUT}, of two columns, found {found}")
    for node in graph.node:
        node.output[:] = [BOTH if name == OUTPUT else name for name in node.output]
        node.input[:] = [BOTH if name == OUTPUT else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(SCORE, "score"))
    graph.node.append(helper.make_node("MatMul", [BOTH, "score"], [OUTPUT], "one_logit"))
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.checker.check_model(copied, full_check=True)
    return copied
