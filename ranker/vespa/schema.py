"""Vespa's schema: the documents' fields, the fields that Vespa makes of them, and the profile that queries ask for."""

from collections.abc import Sequence
from string import Template

from ranker.contract.words import stemmer_of
from ranker.vespa.names import LANGUAGE_FIELD, PROFILE, TEXTS, TOKENIZER, Names

SCHEMA = Template(f"""\
schema $type {{
    document $type {{
        field $id type string {{
            indexing: summary | attribute
        }}
$fields    }}
$made    # What queries ask for; $type/*.profile are the stacks of a version, of which there may be several
    rank-profile {PROFILE} inherits $profile {{
    }}
}}
""")
FIELD = """\
        field {name} type string {{
            indexing: summary | index
            index: enable-bm25
        }}
"""
LANGUAGE = Template("""\
$stemming    # Else a language is detected for each text, and its words are stemmed as that language's
    field $field type string {
        indexing: "$language" | set_language
    }
    fieldset $texts {
        fields: $names
    }
""")
NO_STEMMING = "    stemming: none  # else, where Vespa has no stemmer for a language, it has English's\n"
TOKENS = Template(f"""\
    # Outside the document: nobody feeds it, and an update of the $first makes it anew
    field $token_field type tensor<float>(d0[$document_tokens]) {{
        indexing: $whole | embed {TOKENIZER} | attribute
    }}
""")
VECTORS = Template("""\
    # As the tokens; a second version's field beside it serves while this one is made
    field $vectors type tensor<float>(x[$size]) {
        indexing: $whole | embed $retriever | attribute | index
        attribute {
            distance-metric: prenormalized-angular
        }
    }
""")


def token_field(names: Names, language: str, document_tokens: int) -> str:
    """The lines of a schema on the ranked texts: their language, the fields that BM25 finds by, their tokens."""
    first = " and ".join(names.text_fields) + (" together" if len(names.text_fields) > 1 else "")
    words = LANGUAGE.substitute(
        field=LANGUAGE_FIELD,
        language=language,
        stemming="" if stemmer_of(language) else NO_STEMMING,
        texts=TEXTS,
        names=", ".join(names.text_fields),
    )
    return words + TOKENS.substitute(
        token_field=names.token_field, whole=whole(names.text_fields), first=first, document_tokens=document_tokens
    )


def vector_field(names: Names, size: int) -> str:
    """The lines of a schema that make a document's vector, of `size` numbers."""
    retriever = names.of("retriever")
    return VECTORS.substitute(vectors=names.vectors, size=size, whole=whole(names.text_fields), retriever=retriever)


def schema(names: Names, profile: str, made: str) -> str:
    """The whole schema; `made` are the lines of the fields made, `profile` that of the stack that ships."""
    return SCHEMA.substitute(
        type=names.document_type,
        id=names.id_field,
        fields="".join(FIELD.format(name=name) for name in names.text_fields),
        made=made,
        profile=profile,
    )


def whole(names: Sequence[str]) -> str:
    """A document's text in Vespa's indexing language; a missing field is empty.

    >>> whole(["title"]), whole(["title", "text"])
    ('input title', '(input title || "") . " " . (input text || "")')
    """
    if len(names) == 1:
        return f"input {names[0]}"
    return ' . " " . '.join(f'(input {name} || "")' for name in names)
