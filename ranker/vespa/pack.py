"""The packed model: token ids of a query and a document, as Vespa stores them -> one score.

Only stage package imports this, because serving is installed without onnx.
"""

from pathlib import Path
from string import Template

import onnx
from onnx import compose, parser

from ranker.contract.layout import INPUTS, NOT_RELEVANT, OUTPUT, RELEVANT, Layout
from ranker.vespa.names import DOCUMENT_INPUT, PAD, QUERY_INPUT, SCORE

# Graphs before and after the exported model, in ONNX's text format. Vespa passes tensors of one size, zero-padded.
# The graph drops the zeros, because padding to 128 tokens makes pairs of 27 tokens three times as slow. A text without
# tokens is legal.
# The graph computes the batch size, 1, to hide it from ONNX Runtime's optimiser. With a constant 1, ONNX Runtime fuses
# the sum of the embeddings with their normalisation, which it does not do for Ranker. The sums then differ in the last
# bit, and int8 scores by 0.05.
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
    """Write a model that scores one pair from token ids, by wrapping the exported one.

    Inputs are `query_token_ids`, int64 [layout.max_query_tokens], and `doc_token_ids`, int64
    [layout.max_document_tokens], each padded with 0. The output is `score`, float32 [1], logit 1 - logit 0. Opset, IR
    version and metadata are the exported model's.
    """
    model = onnx.load(exported)
    (opset,) = [entry.version for entry in model.opset_import if entry.domain == ""]
    versions = {"ir_version": model.ir_version, "opset": opset}
    sizes = {"query_tokens": layout.max_query_tokens, "document_tokens": layout.max_document_tokens}
    before = _part(BEFORE.substitute(versions, **sizes, cls=layout.cls_id, sep=layout.sep_id))
    after = _part(AFTER.substitute(versions))
    laid_out = compose.merge_models(before, model, [(name, name) for name in INPUTS])
    whole = compose.merge_models(laid_out, after, [(OUTPUT, OUTPUT)])
    del whole.opset_import[:]  # merging has listed each part's
    whole.opset_import.extend(model.opset_import)
    whole.graph.name = model.graph.name
    whole.producer_name, whole.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(whole, full_check=True)
    onnx.save_model(whole, packed)


def _part(text: str) -> onnx.ModelProto:
    """Parse a graph and prefix its inner names, which could clash with the exported model's."""
    return compose.add_prefix(parser.parse_model(text), "pack/", rename_inputs=False, rename_outputs=False)
