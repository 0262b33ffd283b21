"""Names that the application package, its feed and its queries share."""

from dataclasses import dataclass

from ranker.contract.document import TITLE
from ranker.stack.stack import Stack

QUERY_INPUT = "query_token_ids"  # input of the packed model and of a query
DOCUMENT_INPUT = "doc_token_ids"  # input of the packed model
SCORE = "score"
PROFILE = "ranker"  # the rank profile of the stack that ships; each stack and version has one of its own
TOKENIZER = "tokenizer"
TEXTS = "ranked_texts"  # the fieldset of the fields that BM25 finds by
LANGUAGE_FIELD = "texts_language"
PAD = 0  # Vespa pads tensors with it


@dataclass(frozen=True)
class Names:
    """Names in an application: those that params.yaml gives, and those of one version's parts."""

    version: str
    document_type: str = "doc"  # and namespace: a document's id in Vespa is id:doc:doc::ID
    id_field: str = "document_id"
    text_fields: tuple[str, ...] = TITLE  # one for each of join.document_fields
    token_field: str = "doc_token_ids"
    vector_field: str = "embedding"  # with the version

    def of(self, part: str) -> str:
        """The name of a version's part.

        >>> Names("0.1.0").of("retriever")
        'retriever_0_1_0'
        """
        return f"{part}_{self.version.replace('.', '_')}"

    @property
    def vectors(self) -> str:
        """The field of this version's vectors, and the query's tensor of the same type."""
        return self.of(self.vector_field)

    def profile(self, stack: Stack) -> str:
        """The rank profile of a stack, such as `hybrid_fused_0_1_0`."""
        return self.of(stack.name.replace("+", "_"))
