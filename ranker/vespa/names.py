"""Names that the application package, its feed and its queries share."""

DOCUMENT_TYPE = "doc"  # and namespace: a document's id in Vespa is id:doc:doc::ID
QUERY_INPUT = "query_token_ids"  # input of the packed model and of a query
DOCUMENT_INPUT = "doc_token_ids"  # input of the packed model, and a field
SCORE = "score"
PROFILE = "ranker"  # the rank profile of the newest model; `versioned` names each
TOKENIZER = "tokenizer"
PAD = 0  # Vespa pads tensors with it


def versioned(version: str) -> str:
    """Name of a version's rank profile and model.

    >>> versioned("0.1.0")
    'ranker_0_1_0'
    """
    return f"{PROFILE}_{version.replace('.', '_')}"
