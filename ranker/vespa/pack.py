"""The packed model: the tokens of a query and of a document, as Vespa holds them, -> one score.

Only stage package imports this: what serves has no onnx.
"""

from pathlib import Path
from string import Template

import onnx
from onnx import compose, parser

from ranker.contract.layout import INPUTS, NOT_RELEVANT, OUTPUT, RELEVANT, Layout
from ranker.vespa.names import DOCUMENT_INPUT, PAD, QUERY_INPUT, SCORE

# What lies before the exported model and after it, in ONNX's own notation. Vespa hands over tensors of one size, filled
# up with zeros. They are dropped, so that no run is longer than its pair: padded to 128 tokens, pairs of 27 cost three
# times as much. A text of no tokens is legal.
# The batch's size, 1, is computed, so that ONNX Runtime does not know it when it optimises. It would fuse the sum of
# the embeddings with their normalisation, as it does not for Ranker: of that last bit, eight bits make 0.05 of a score.
BEFORE = Template(f"""
<ir_version: $ir_version, opset_import: ["": $opset]>
lay_out (int64[$query_tokens] {QUERY_INPUT}, int64[$document_tokens] {DOCUMENT_INPUT})
    => (int64[batch, tokens] {INPUTS[0]}, int64[batch, tokens] {INPUTS[1]}, int64[batch, tokens] {INPUTS[2]})
<int64 pad = {{{PAD}}}, int64[1] cls = {{$cls}}, int64[1] sep = {{$sep}}, int64[1] zero = {{0}}, int64[1] one = {{1}}>
{{
    in_query = Greater ({QUERY_INPUT}, pad)
    query = Compress <axis = 0> ({QUERY_INPUT}, in_query)
    in_document = Greater ({DOCUMENT_INPUT}, pad)
    document = Compress <axis = 0> ({DOCUMENT_INPUT}, in_document)
    first = Concat <axis = 0> (cls, query, sep)
    second = Concat <axis = 0> (document, sep)
    pair = Concat <axis = 0> (first, second)
    first_size = Shape (first)
    first_types = Expand (zero, first_size)
    second_size = Shape (second)
    second_types = Expand (one, second_size)
    types = Concat <axis = 0> (first_types, second_types)
    size = Shape (pair)
    mask = Expand (one, size)
    batch = Div (size, size)
    shape = Concat <axis = 0> (batch, size)
    {INPUTS[0]} = Reshape (pair, shape)
    {INPUTS[1]} = Reshape (types, shape)
    {INPUTS[2]} = Reshape (mask, shape)
}}
""")
AFTER = Template(f"""
<ir_version: $ir_version, opset_import: ["": $opset]>
compare (float[batch, 2] {OUTPUT}) => (float[1] {SCORE})
<int64[1] relevant = {{{RELEVANT}}}, int64[1] not_relevant = {{{NOT_RELEVANT}}}, int64[1] last = {{1}}>
{{
    for = Gather <axis = 1> ({OUTPUT}, relevant)
    against = Gather <axis = 1> ({OUTPUT}, not_relevant)
    difference = Sub (for, against)
    {SCORE} = Squeeze (difference, last)
}}
""")


def pack(exported: Path, layout: Layout, packed: Path) -> None:
    """Write a model of one pair, made of an exported one, whatever nodes that has.

    Inputs are `query_token_ids`, int64 [layout.max_query_tokens], and `doc_token_ids`, int64
    [layout.max_document_tokens], each filled up with 0; the output is `score`, float32 [1], logit 1 - logit 0. Opset,
    IR version and metadata are the exported model's.
    """
    model = onnx.load(exported)
    (opset,) = [entry.version for entry in model.opset_import if entry.domain == ""]
    versions = {"ir_version": model.ir_version, "opset": opset}
    sizes = {"query_tokens": layout.max_query_tokens, "document_tokens": layout.max_document_tokens}
    before = _part(BEFORE.substitute(versions, **sizes, cls=layout.cls_id, sep=layout.sep_id))
    after = _part(AFTER.substitute(versions))
    laid_out = compose.merge_models(before, model, [(name, name) for name in INPUTS])
    whole = compose.merge_models(laid_out, after, [(OUTPUT, OUTPUT)])
    del whole.opset_import[:]  # one part's after another's
    whole.opset_import.extend(model.opset_import)
    whole.graph.name = model.graph.name
    whole.producer_name, whole.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(whole, full_check=True)
    onnx.save_model(whole, packed)


def _part(text: str) -> onnx.ModelProto:
    """A model whose inner names cannot be those of an exported one."""
    return compose.add_prefix(parser.parse_model(text), "pack/", rename_inputs=False, rename_outputs=False)
