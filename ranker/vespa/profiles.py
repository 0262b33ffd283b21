"""Rank profiles: one for each stack that Vespa can serve, by Vespa's own language of rank expressions."""

from dataclasses import replace
from string import Template

from ranker.contract.stacks import COMPARED, PARTS
from ranker.stack.stack import Stack
from ranker.vespa.names import DOCUMENT_INPUT, QUERY_INPUT, SCORE, Names

# The scores that a profile adds or shows: functions, which a hit's match features have by name. A value in these is
# computed on the content node, and the global phase takes it from there.
FUNCTIONS = {"cross_encoder": "cross_encoder_score", "cosine": "cosine", "bm25": "bm25_score"}
FOUND_FIRST = 1_000_000  # above every BM25 score: a rare word of 10^6 documents adds at most 30 a field

BASE = Template("""\
rank-profile $profile {
    # What the profiles of version $version share
    inputs {
$inputs    }
    onnx-model $model {
        file: files/$model.onnx
        input $query_input: query($query_input)
        input $document_input: attribute($token_field)
        output $score: $score
    }
    function cross_encoder_score() {
        expression: sum(onnx($model).$score)
    }
    function bm25_score() {
        expression: $bm25
    }
$cosine}
""")
# In an exact search every document that is among the nearest for a while has a raw score, so hits of the vectors would
# take all places of a hybrid. Vespa searches exactly if a filter leaves less than this share of the documents.
APPROXIMATE = "    approximate-threshold: 0.0\n"
# Vectors have length 1. The cosine is taken as it is, because `closeness` is 1/(1 + distance), which is another scale.
COSINE = """\
    function cosine() {{
        expression: sum(query({vectors}) * attribute({vectors}))
    }}
"""
PROFILE = Template("""\
rank-profile $profile inherits $base {
    # The stack $stack
    match-features: $features
$approximate    first-phase {
        expression: $first_phase
    }
$global_phase}
""")
# Named once, because each mention is a run of the model
GLOBAL_PHASE = """\
    global-phase {{
        expression: {expression}
        rerank-count: {count}
    }}
"""


def served_stacks(shipped: Stack, retriever: bool) -> list[Stack]:
    """The stacks of the table that Vespa can serve, with the shipped one's depth and weights, and that one itself.

    Vectors of the untrained base model and an engine's own run are left out: the package has neither.
    """
    known = {"bm25", "dense"} if retriever else {"bm25"}
    found = [replace(shipped, first_stage=first_stage, order=order) for first_stage, order in COMPARED]
    return list({stack.name: stack for stack in (*found, shipped) if known.issuperset(stack.found_by)}.values())


def rerank_count(stack: Stack) -> int:
    """Hits that the global phase orders: `depth` of each list."""
    return stack.depth * len(stack.found_by)


def takes_bm25(stack: Stack) -> bool:
    """True if a query needs the words, to find by them or to add their score."""
    return "bm25" in stack.found_by or ("bm25" in stack.summed and stack.weights["bm25"] > 0)


def profile_files(names: Names, stacks: list[Stack], query_tokens: int, size: int | None, bm25: str) -> dict[str, str]:
    """File name -> content, of a rank profile each; `size` is that of the vectors, None without a retriever."""
    inputs = {QUERY_INPUT: f"tensor<float>(d0[{query_tokens}])"}
    if size:
        inputs[names.vectors] = f"tensor<float>(x[{size}])"
    base = BASE.substitute(
        version=names.version,
        profile=names.of("parts"),
        inputs="".join(f"        query({name}) {kind}\n" for name, kind in inputs.items()),
        model=names.of("cross_encoder"),
        query_input=QUERY_INPUT,
        document_input=DOCUMENT_INPUT,
        token_field=names.token_field,
        score=SCORE,
        bm25=bm25,
        cosine=COSINE.format(vectors=names.vectors) if size else "",
    )
    files = {names.of("parts"): base} | {names.profile(stack): _profile(stack, names) for stack in stacks}
    return {f"{name}.profile": text for name, text in files.items()}


def _profile(stack: Stack, names: Names) -> str:
    shown = [FUNCTIONS["cosine"]] * (stack.vectors is not None) + [FUNCTIONS["bm25"]] * takes_bm25(stack)
    expression = global_phase(stack)
    return PROFILE.substitute(
        stack=stack.name,
        profile=names.profile(stack),
        base=names.of("parts"),
        features=" ".join(shown),
        approximate=APPROXIMATE if len(stack.found_by) > 1 else "",
        first_phase=_first_phase(stack, names),
        global_phase=GLOBAL_PHASE.format(expression=expression, count=rerank_count(stack)) if expression else "",
    )


def _first_phase(stack: Stack, names: Names) -> str:
    """Orders the hits that the global phase then takes; of a hybrid, the nearest vectors' come first.

    `rawScore` is 0 for a hit that the words alone found, and `cosine` is not.
    """
    if stack.first_stage == "bm25":
        return FUNCTIONS["bm25"]
    if stack.first_stage == "dense":
        return FUNCTIONS["cosine"]
    return f"if (rawScore({names.vectors}) > 0, {FOUND_FIRST} + {FUNCTIONS['cosine']}, {FUNCTIONS['bm25']})"


def global_phase(stack: Stack) -> str:
    """The expression that orders the best hits, empty if the first phase's order stays.

    >>> from ranker.stack.stack import Stack
    >>> weights = {"cross_encoder": 0.25, "cosine": 1.0, "bm25": 0.0}
    >>> global_phase(Stack("dense", "fused", 100, weights, "en"))
    '0.25 * normalize_linear(cross_encoder_score) + 1.0 * normalize_linear(cosine)'
    """
    if stack.order == "cross_encoder":
        return FUNCTIONS["cross_encoder"]
    has = {"cross_encoder", "bm25"} | ({"cosine"} if stack.vectors else set())
    summed = [part for part in PARTS if part in stack.summed and part in has and stack.weights[part]]
    return " + ".join(f"{stack.weights[part]} * normalize_linear({FUNCTIONS[part]})" for part in summed)
