"""The stack that params.yaml asks for."""

from ranker.project.params import Params
from ranker.stack.stack import Stack


def shipped_stack(params: Params) -> Stack:
    """The stack that ships."""
    order, first_stage = params.order, params.first_stage
    return Stack(first_stage.retriever, order.by, order.depth, order.weights.model_dump(), first_stage.language)
