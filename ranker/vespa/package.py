"""The application package for Vespa: the stack that ships, a rank profile for each other one, and the parts as files.

Text templates, because pyvespa cannot write a rank profile to a file of its own.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

from ranker.common.errors import InputError
from ranker.common.files import write_json
from ranker.contract.embedding import STATES, read_embedding_contract
from ranker.contract.folder import (
    CONTRACT_FILE,
    EMBEDDING_FILE,
    MODEL_FILES,
    TOKENIZER_FILE,
    Model,
    check_digests,
    served_model,
)
from ranker.contract.layout import Layout, read_contract
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.contract.words import CONTROLS, INVISIBLE
from ranker.vespa.names import PAD, TOKENIZER, Names
from ranker.vespa.pack import pack
from ranker.vespa.profiles import profile_files
from ranker.vespa.query import QuerySettings, query_body, write_settings
from ranker.vespa.schema import schema, token_field, vector_field

PIECES = "pieces"  # for an application of one's own; Vespa ignores the folder
SERVICES = Template("""\
<?xml version="1.0" encoding="UTF-8"?>
<services version="1.0">
    <container id="default" version="1.0">
        <search/>
        <document-api/>
        <document-processing/>
$components    </container>
    <content id="$name" version="1.0">
        <redundancy>1</redundancy>
        <documents>
            <document type="$type" mode="index"/>
        </documents>
        <nodes>
            <node distribution-key="0" hostalias="node1"/>
        </nodes>
    </content>
</services>
""")
COMPONENTS = f"""\
        <!-- Figures are of this stemmer; Vespa's own for English is kStem -->
        <config name="ai.vespa.opennlp.open-nlp">
            <snowballStemmingForEnglish>true</snowballStemmingForEnglish>
        </config>
        <component id="{TOKENIZER}" type="hugging-face-tokenizer">
            <model path="{TOKENIZER}/{TOKENIZER_FILE}"/>
        </component>
"""
EMBEDDER = Template(f"""\
        <component id="$retriever" type="hugging-face-embedder">
            <transformer-model path="files/$retriever.onnx"/>
            <tokenizer-model path="{TOKENIZER}/$retriever.json"/>
            <max-tokens>$max_length</max-tokens>
            <transformer-output>{STATES}</transformer-output>
            <pooling-strategy>mean</pooling-strategy>
            <normalize>true</normalize>
        </component>
""")


@dataclass(frozen=True)
class Exported:
    """A folder of stage export or export_retriever, and the model of it that serves."""

    folder: Path
    asked: Model

    @property
    def model(self) -> Model:
        """`asked`, or fp32 if no int8 scheme passed its gate."""
        return served_model(self.folder, self.asked)

    @property
    def file(self) -> Path:
        return self.folder / MODEL_FILES[self.model]


def write_application(
    folder: Path, name: str, settings: QuerySettings, ranker: Exported, retriever: Exported | None = None
) -> None:
    """Write the application package of exported models to `folder`; `name` is its content cluster's.

    InputError if a file was changed since its export, or if Vespa would drop a token because its id is PAD.
    """
    names = settings.names
    check_digests(ranker.folder, CONTRACT_FILE, TOKENIZER_FILE, ranker.file.name)
    layout = read_contract(ranker.folder / CONTRACT_FILE)
    if layout.pad_id != PAD:
        found = f"expected the padding's id to be {PAD}, which Vespa fills tensors up with, found {layout.pad_id}"
        raise InputError(f"{ranker.folder / TOKENIZER_FILE}: {found}")
    for place, text in _texts(layout, name, settings, retriever).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8", newline="\n")
    (folder / "files").mkdir()
    pack(ranker.file, layout, model_file(folder, names))
    (folder / TOKENIZER).mkdir()
    shutil.copyfile(ranker.folder / TOKENIZER_FILE, folder / TOKENIZER / TOKENIZER_FILE)
    if retriever:
        check_digests(retriever.folder, EMBEDDING_FILE, TOKENIZER_FILE, retriever.file.name)
        part = names.of("retriever")
        shutil.copyfile(retriever.file, folder / "files" / f"{part}.onnx")
        shutil.copyfile(retriever.folder / TOKENIZER_FILE, folder / TOKENIZER / f"{part}.json")
    write_settings(folder, settings)
    bodies = {stack.name: query_body("the user's text", settings, stack=stack.name) for stack in settings.stacks}
    write_json(folder / PIECES / "queries.json", bodies)


def model_file(folder: Path, names: Names) -> Path:
    """Path of a version's packed model in an application package."""
    return folder / "files" / f"{names.of('cross_encoder')}.onnx"


def _texts(layout: Layout, name: str, settings: QuerySettings, retriever: Exported | None) -> dict[str, str]:
    """File path -> content of the application package."""
    names, embedder, vectors, size = settings.names, "", "", None
    if retriever:
        texts, size = read_embedding_contract(retriever.folder / EMBEDDING_FILE)
        embedder = EMBEDDER.substitute(retriever=names.of("retriever"), max_length=texts.max_length)
        vectors = vector_field(names, size)
    tokens = token_field(names, settings.stack.language, layout.max_document_tokens)
    bm25 = " + ".join(f"bm25({field})" for field in names.text_fields)
    profiles = profile_files(names, settings.stacks, layout.max_query_tokens, size, bm25)
    schemas = f"schemas/{names.document_type}"
    return {
        "services.xml": SERVICES.substitute(name=name, type=names.document_type, components=COMPONENTS + embedder),
        f"{schemas}.sd": schema(names, names.profile(settings.stack), tokens + vectors),
        **{f"{schemas}/{file}": text for file, text in profiles.items()},
        **dict(zip(pieces(names), (COMPONENTS, embedder, tokens, vectors), strict=True)),
    }


def pieces(names: Names) -> tuple[str, str, str, str]:
    """Paths of the pieces: components that versions share, the embedder, fields that versions share, the vectors.

    Without a retriever, the second and the fourth are empty files.
    """
    parts = "components.xml", f"{names.of('retriever')}.xml", "fields.sd", f"{names.vectors}.sd"
    components, embedder, fields, vectors = (f"{PIECES}/{part}" for part in parts)
    return components, embedder, fields, vectors


def kept_by_tokenizer(ranker: Path) -> list[str]:
    """Control and format characters that this tokenizer keeps and the feed drops.

    Titles with such a character get other tokens in Vespa than in `Ranker`. BERT's normaliser drops all of them.
    """
    dropped = [*CONTROLS, *INVISIBLE]
    plain, *found = tokenize(load_tokenizer(ranker), ["ab", *(f"a{character}b" for character in dropped)])
    return [character for character, tokens in zip(dropped, found, strict=True) if tokens != plain]
