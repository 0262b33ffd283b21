"""The application package for Vespa: BM25, whose best hits the cross-encoder reranks.

Text templates, because pyvespa cannot write a rank profile to a file of its own.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template

from ranker.common.errors import InputError
from ranker.contract.folder import CONTRACT_FILE, MODEL_FILES, TOKENIZER_FILE, Model, check_digests, served_model
from ranker.contract.layout import Layout, read_contract
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.contract.words import CONTROLS, INVISIBLE, stemmer_of
from ranker.vespa.names import DOCUMENT_INPUT, DOCUMENT_TYPE, PAD, PROFILE, QUERY_INPUT, SCORE, TOKENIZER, versioned
from ranker.vespa.pack import pack
from ranker.vespa.query import QuerySettings, write_settings

SCHEMA = Template(f"""\
schema {DOCUMENT_TYPE} {{$stemming
    # Else a language is detected for each title, and its words are stemmed as that language's
    field language type string {{
        indexing: "$language" | set_language
    }}
    document {DOCUMENT_TYPE} {{
        field document_id type string {{
            indexing: summary | attribute
        }}
$fields    }}
    # Outside the document: nobody feeds it, and an update of the $first makes it anew
    field {DOCUMENT_INPUT} type tensor<float>(d0[$document_tokens]) {{
        indexing: $whole | embed {TOKENIZER} | attribute
    }}
    fieldset default {{
        fields: $names
    }}
    rank-profile bm25 {{
        first-phase {{
            expression: $bm25
        }}
    }}
    # What queries ask for; {DOCUMENT_TYPE}/*.profile are the versions, of which there may be several
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
RANK_PROFILE = Template(f"""\
rank-profile $profile inherits bm25 {{
    inputs {{
        query({QUERY_INPUT}) tensor<float>(d0[$query_tokens])
    }}
    onnx-model $profile {{
        file: files/$profile.onnx
        input {QUERY_INPUT}: query({QUERY_INPUT})
        input {DOCUMENT_INPUT}: attribute({DOCUMENT_INPUT})
        output {SCORE}: {SCORE}
    }}
    # Why a hit was found: its relevance is the model's score
    match-features: $features
    global-phase {{
        # Named once, because each mention is a run of the model
        expression: sum(onnx($profile).{SCORE})
        rerank-count: $rerank_count
    }}
}}
""")
NO_STEMMING = "\n    stemming: none  # else, where Vespa has no stemmer for a language, it has English's"
SERVICES = Template(f"""\
<?xml version="1.0" encoding="UTF-8"?>
<services version="1.0">
    <container id="default" version="1.0">
        <search/>
        <document-api/>
        <document-processing/>
        <!-- Figures are of this stemmer; Vespa's own for English is kStem -->
        <config name="ai.vespa.opennlp.open-nlp">
            <snowballStemmingForEnglish>true</snowballStemmingForEnglish>
        </config>
        <component id="{TOKENIZER}" type="hugging-face-tokenizer">
            <model path="{TOKENIZER}/{TOKENIZER_FILE}"/>
        </component>
    </container>
    <content id="$name" version="1.0">
        <redundancy>1</redundancy>
        <documents>
            <document type="{DOCUMENT_TYPE}" mode="index"/>
        </documents>
        <nodes>
            <node distribution-key="0" hostalias="node1"/>
        </nodes>
    </content>
</services>
""")


def write_application(
    folder: Path, ranker: Path, name: str, version: str, model: Model, settings: QuerySettings
) -> Model:
    """Write the application package of an exported ranker to `folder`; returns the model in it.

    It has the fp32 model if no int8 model passed export's gate. InputError if Vespa would drop a token because its id
    is PAD.
    """
    model = served_model(ranker, model)
    check_digests(ranker, CONTRACT_FILE, TOKENIZER_FILE, MODEL_FILES[model])
    layout = read_contract(ranker / CONTRACT_FILE)
    if layout.pad_id != PAD:
        found = f"expected the padding's id to be {PAD}, which Vespa fills tensors up with, found {layout.pad_id}"
        raise InputError(f"{ranker / TOKENIZER_FILE}: {found}")
    for place, text in _texts(layout, name, versioned(version), settings).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8", newline="\n")
    (folder / "files").mkdir()
    pack(ranker / MODEL_FILES[model], layout, model_file(folder, version))
    (folder / TOKENIZER).mkdir()
    shutil.copyfile(ranker / TOKENIZER_FILE, folder / TOKENIZER / TOKENIZER_FILE)
    write_settings(folder, settings)
    return model


def model_file(folder: Path, version: str) -> Path:
    """Path of a version's packed model in an application package."""
    return folder / "files" / f"{versioned(version)}.onnx"


def _texts(layout: Layout, name: str, profile: str, settings: QuerySettings) -> dict[str, str]:
    """File path -> content of the application package."""
    names = settings.document_fields
    found_by = [f"bm25({name})" for name in names]
    schema = SCHEMA.substitute(
        stemming="" if stemmer_of(settings.language) else NO_STEMMING,
        language=settings.language,
        document_tokens=layout.max_document_tokens,
        profile=profile,
        fields="".join(FIELD.format(name=name) for name in names),
        first=" and ".join(names) + (" together" if len(names) > 1 else ""),
        names=", ".join(names),
        whole=whole(names),
        bm25=" + ".join(found_by),
    )
    rank_profile = RANK_PROFILE.substitute(
        profile=profile,
        features=" ".join(found_by),
        query_tokens=layout.max_query_tokens,
        rerank_count=settings.rerank_count,
    )
    return {
        "services.xml": SERVICES.substitute(name=name),
        f"schemas/{DOCUMENT_TYPE}.sd": schema,
        f"schemas/{DOCUMENT_TYPE}/{profile}.profile": rank_profile,
    }


def whole(names: Sequence[str]) -> str:
    """A document's text in Vespa's indexing language; a missing field is empty.

    >>> whole(["title"]), whole(["title", "text"])
    ('input title', '(input title || "") . " " . (input text || "")')
    """
    if len(names) == 1:
        return f"input {names[0]}"
    return ' . " " . '.join(f'(input {name} || "")' for name in names)


def kept_by_tokenizer(ranker: Path) -> list[str]:
    """Control and format characters that this tokenizer keeps and the feed drops.

    Titles with such a character get other tokens in Vespa than in `Ranker`. BERT's normaliser drops all of them.
    """
    dropped = [*CONTROLS, *INVISIBLE]
    plain, *found = tokenize(load_tokenizer(ranker), ["ab", *(f"a{character}b" for character in dropped)])
    return [character for character, tokens in zip(dropped, found, strict=True) if tokens != plain]
