"""Users' mistakes by name: the spoilt file, or a function that spoils it, and the error line that must appear.

A line that ends in a colon is followed by another library's words, which may vary.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import WhitespaceSplit

from ranker.common.files import write_json
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE

HEADER = "document_id,query_id,label,title-full\n"
QUERIES: list[dict[str, Any]] = [
    {"query_id": i, "query": f"masks in ward {i}", "relevant_docs": [{"id": f"d{i}", "score": 1}]} for i in range(1, 7)
]
ROWS = [f"d{i},{i},1,Masks in ward {i}\ne{i},{i},0,Bats {i}\n" for i in range(1, 7)]
CSV = HEADER + "".join(ROWS)


def query(**values: Any) -> str:
    """The first query, changed."""
    return json.dumps([{**QUERIES[0], **values}, *QUERIES[1:]])


def score(value: str) -> str:
    return json.dumps(QUERIES).replace('"score": 1', f'"score": {value}', 1)


def entry_id(value: str) -> str:
    return json.dumps(QUERIES).replace('"id": "d1"', f'"id": {value}', 1)


def row(*cells: str) -> str:
    """A third row of the CSV."""
    return "".join([HEADER, *ROWS[:1], ",".join(cells) + "\n", *ROWS[1:]])


# fmt: off
JSON: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "expected JSON, found:"),
    "malformed": ("[{'query_id': 1}]", "expected JSON, found:"),
    "truncated": (json.dumps(QUERIES)[:100], "expected JSON, found:"),
    "more after its end": (json.dumps(QUERIES) + "]", "expected JSON, found:"),
    "NUL bytes": (json.dumps(QUERIES) + "\0\0", "expected JSON, found:"),
    "Latin-1": (query(query="caf\u00e9").replace("\\u00e9", "\u00e9").encode("latin-1"), "expected JSON, found:"),
    "UTF-16": (json.dumps(QUERIES).encode("utf-16"), "expected JSON, found:"),
    "half a character": (query(query="\ud800"), "expected JSON, found:"),
    "nested without end": ("[" * 100_000, "expected JSON, found:"),
    "an object": (json.dumps({"queries": QUERIES}), "the file: expected a valid array, found {'queries': [{'query_id': 1, 'query': 'masks in ward 1', 'relevant_docs': [{'id'"),
    "null": ("null", "the file: expected a valid array, found None"),
    "a list of strings": ('["masks"]', "0: expected an object, found 'masks'"),
    "no queries": ("[]", "join: judgements: expected graded pairs of known queries and documents, found 12 unknown_query"),
    "no query text": (json.dumps([{"query_id": 1, "relevant_docs": []}]), "0.query: expected a value, found none"),
    "no query_id": (json.dumps([{"query": "masks", "relevant_docs": []}]), "0.query_id: expected a value, found none"),
    "no relevant_docs": (json.dumps([{"query_id": 1, "query": "masks"}]), "0.relevant_docs: expected a value, found none"),
    "query null": (query(query=None), "0.query: expected a valid string, found None"),
    "query a number": (query(query=19), "0.query: expected a valid string, found 19"),
    "query blank": (query(query=" \n"), "query_id 1: expected a query in text, found ' \\n'"),
    "query_id fractional": (query(query_id=1.5), "0.query_id: expected a valid string or integer, found 1.5"),
    "query_id NaN": (query(query_id=float("nan")), "0.query_id: expected a valid string or integer, found nan"),
    "query_id true": (query(query_id=True), "0.query_id: expected a valid string or integer, found True"),
    "query_id of 5,000 digits": ('[{"query_id": ' + "9" * 5000 + "}]", "expected JSON, found:"),
    "query_id twice": (query(query_id="2"), "query_id 2: expected once, found with 'masks in ward 1' and 'masks in ward 2'"),
    "relevant_docs an object": (query(relevant_docs={"d1": 1}), "0.relevant_docs: expected a valid array, found {'d1': 1}"),
    "document id a float": (entry_id("1e10"), "0.relevant_docs.0.id: expected a valid string or integer, found 10000000000.0"),
    "document id null": (entry_id("null"), "0.relevant_docs.0.id: expected a valid string or integer, found None"),
    "score a string": (score('"1"'), "0.relevant_docs.0.score: expected a valid integer, found '1'"),
    "score fractional": (score("0.5"), "0.relevant_docs.0.score: expected a valid integer, found 0.5"),
    "score true": (score("true"), "0.relevant_docs.0.score: expected a valid integer, found True"),
    "score out of range": (score("17"), "0.relevant_docs.0.score: expected less than or equal to 16, found 17"),
    "score gigantic": (score("9" * 30), "0.relevant_docs.0.score: expected less than or equal to 16, found 999999999999999999999999999999"),
}
# fmt: on


# fmt: off
TABLE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "expected column document_id once, found it 0 times among: nothing"),
    "a header alone": (HEADER, "join: judgements: expected graded pairs of known queries and documents, found none"),
    "a column missing": (CSV.replace("label,", ""), "expected column label once, found it 0 times among: document_id, query_id, title-full"),
    "a column renamed": (CSV.replace("title-full", "title"), "expected column title-full once, found it 0 times among: document_id, query_id, label, title"),
    "a column twice": (CSV.replace("query_id,label", "label,label"), "expected column query_id once, found it 0 times among: document_id, label, label, title-full"),
    "label twice": (CSV.replace("title-full", "label"), "expected column label once, found it 2 times among: document_id, query_id, label, label"),
    "semicolons": (CSV.replace(",", ";"), "expected column document_id once, found it 0 times among: document_id;query_id;label;title-full"),
    "a cell too few": (row("x", "1", "1"), "line 4: expected 4 cells, found 3"),
    "a cell too many after an empty line": (row("x", "1", "1", "Masks", " gloves").replace("x,", "\nx,"), "line 5: expected 4 cells, found 5"),
    "a cell too many": (row("x", "1", "1", "Masks", " gloves"), "line 4: expected 4 cells, found 5"),
    "a quote never closed": (row("x", "1", "1", '"Masks'), "line 4: expected CSV, found:"),
    "a quote in the middle": (row("x", "1", "1", '"Masks" again'), "line 4: expected CSV, found:"),
    "Latin-1": (row("x", "1", "1", "caf\u00e9").encode("latin-1"), "line 4: expected UTF-8, found byte 0xe9"),
    "UTF-16": (CSV.encode("utf-16"), "line 1: expected UTF-8, found byte 0xff"),
    "NUL bytes": (row("x", "1", "1", "Masks\0"), "line 4: expected text, found a NUL byte"),
    "no document_id": (row(" ", "1", "1", "Masks"), "line 4: expected a document_id, found ' '"),
    "no query_id": (row("x", "", "1", "Masks"), "line 4: expected a query_id, found ''"),
    "label a word": (row("x", "1", "high", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a whole number as grade, found 'high'"),
    "label a word below a title of two lines": (row("x", "1", "high", "Masks").replace("Bats 1", '"Bats\n1"'), "line 5 (query_id '1', document_id 'x'): expected a whole number as grade, found 'high'"),
    "label of other digits": (row("x", "1", "\u0661", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a whole number as grade, found '\u0661'"),
    "label fractional": (row("x", "1", "0.5", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a whole number as grade, found '0.5'"),
    "label with a comma": (row("x", "1", '"1,0"', "Masks"), "line 4 (query_id '1', document_id 'x'): expected a whole number as grade, found '1,0'"),
    "label NaN": (row("x", "1", "nan", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a whole number as grade, found 'nan'"),
    "label with an exponent": (row("x", "1", "1e0", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a whole number as grade, found '1e0'"),
    "label out of range": (row("x", "1", "17", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a grade of at most 16, found '17'"),
    "label far below 0": (row("x", "1", "-17", "Masks"), "line 4 (query_id '1', document_id 'x'): expected a grade of at most 16, found '-17'"),
    "label of 5,000 digits": (row("x", "1", "9" * 5000, "Masks"), "line 4 (query_id '1', document_id 'x'): expected a grade of at most 16, found '99999999999999999999999999999999999999999999999999999999999999999999999999999999'"),
    "all titles empty": (re.sub(r",[A-Z][a-z ]+[0-9]\n", ",\n", CSV), "join: judgements: expected graded pairs of known queries and documents, found 12 empty_document"),
    "no label": (re.sub(r",[01],(?=[MB])", ",,", CSV), "join: judgements: expected graded pairs of known queries and documents, found 12 document_without_judgement"),
    "all labels below 0": (re.sub(r",[01],(?=[MB])", ",-1,", CSV), "join: judgements: expected graded pairs of known queries and documents, found 12 grade_below_0"),
    "queries that nobody knows": (re.sub(r",([1-6]),", r",q\1,", CSV), "join: judgements: expected graded pairs of known queries and documents, found 12 unknown_query"),
    "every pair judged both ways": (CSV + re.sub(r",([01]),(?=[MB])", lambda label: f",{1 - int(label[1])},", CSV.removeprefix(HEADER)), "join: judgements: expected graded pairs of known queries and documents, found 24 conflicting_grades"),
    "one query": (HEADER + ROWS[0], "split: split.folds: expected queries in each of 3 folds, found none of 1 in fold 0: ask for fewer folds or another split.seed"),
    "fewer queries than folds": (HEADER + "".join(ROWS[:2]), "split: split.folds: expected queries in each of 3 folds, found none of 2 in fold 0: ask for fewer folds or another split.seed"),
    "none relevant": (CSV.replace(",1,Masks", ",0,Masks"), "split: split.held_out 0: expected relevant and other pairs on the training side, found 0 relevant among 10"),
    "one relevant": (HEADER + ROWS[0] + "".join(ROWS[1:]).replace(",1,Masks", ",0,Masks"), "split: split.held_out 0: expected relevant and other pairs on the held-out side, found 0 relevant among 2"),
}
# fmt: on


def change_config(**values: object) -> None:
    write_json(Path("model/config.json"), json.loads(Path("model/config.json").read_text()) | values)


def rename_token(old: str, new: str) -> None:
    file = Path("model/tokenizer.json")
    file.write_text(file.read_text().replace(f'"{old}"', f'"{new}"'))


def split_at_spaces() -> None:
    tokenizer = Tokenizer.from_file("model/tokenizer.json")
    tokenizer.normalizer, tokenizer.pre_tokenizer = None, WhitespaceSplit()
    tokenizer.save("model/tokenizer.json")
    file = Path("model/tokenizer_config.json")  # BERT's own class would not read tokenizer.json
    write_json(file, json.loads(file.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"})


def only_pickled_weights() -> None:
    Path("model/model.safetensors").rename("model/pytorch_model.bin")


POOLING = Path("model/1_Pooling/config.json")


def change_modules(**values: str) -> None:
    """Change the first of the model's modules."""
    first, *others = json.loads(Path("model/modules.json").read_text())
    write_json(Path("model/modules.json"), [first | values, *others])


def only_vocabulary(content: bytes) -> None:
    Path("model/tokenizer.json").unlink()
    Path("model/vocab.txt").write_bytes(content)


# fmt: off
MODEL: dict[str, tuple[Callable[[], Any], str]] = {
    "no folder": (lambda: shutil.rmtree("model"), "expected config.json, found none of what is needed"),
    "no config": (lambda: Path("model/config.json").unlink(), "expected config.json, found 1_Pooling, model.safetensors, modules.json, tokenizer.json, tokenizer_config.json"),
    "no tokenizer": (lambda: Path("model/tokenizer.json").unlink(), "expected tokenizer.json or vocab.txt, found 1_Pooling, config.json, model.safetensors, modules.json, tokenizer_config.json"),
    "pickled weights alone": (only_pickled_weights, "expected model.safetensors, found 1_Pooling, config.json, modules.json, tokenizer.json, tokenizer_config.json"),
    "weights cut off": (lambda: os.truncate("model/model.safetensors", 10_000), "model.safetensors: expected safetensors, found:"),
    "a pointer in place of weights": (lambda: Path("model/model.safetensors").write_text("version https://git-lfs.github.com/spec/v1"), "model.safetensors: expected the file, found Git LFS's pointer: git lfs pull"),
    "config malformed": (lambda: Path("model/config.json").write_text("{"), "config.json: expected JSON, found:"),
    "not a BERT": (lambda: change_config(model_type="roberta"), "config.json: model_type: expected 'bert', found 'roberta'"),
    "one token type": (lambda: change_config(type_vocab_size=1), "config.json: type_vocab_size: expected greater than or equal to 2, found 1"),
    "other layers than weights": (lambda: change_config(num_hidden_layers=3), "model.safetensors: expected 3 layers, found 2"),
    "other width than weights": (lambda: change_config(hidden_size=48), "model.safetensors: expected embeddings.word_embeddings.weight of shape [1500, 48], found [1500, 32]"),
    "config a list": (lambda: Path("model/config.json").write_text("[]"), "config.json: expected a JSON object, found list"),
    "token types null": (lambda: change_config(type_vocab_size=None), "config.json: type_vocab_size: expected a valid integer, found None"),
    "width a string": (lambda: change_config(hidden_size="32"), "config.json: hidden_size: expected a valid integer, found '32'"),
    "relative positions": (lambda: change_config(position_embedding_type="relative_key"), "config.json: position_embedding_type: expected 'absolute', found 'relative_key'"),
    "a decoder": (lambda: change_config(is_decoder=True), "config.json: is_decoder: expected False, found True"),
    "code of its own": (lambda: change_config(auto_map={"AutoModel": "own.Bert"}), "config.json: auto_map: expected transformers' own BERT, found code of its own, own.Bert"),
    "more tokens than weights": (lambda: write_json(Path("model/added_tokens.json"), {"covid-19": 1500}), "tokenizer.json: expected ids below 1500, found 1500"),
    "a vocabulary of more words than weights": (lambda: only_vocabulary(b"\n".join([b"[PAD]", b"[UNK]", b"[CLS]", b"[SEP]", *[b"a"] * 2000])), "tokenizer.json: expected ids below 1500, found 2003"),
    "a vocabulary that is no text": (lambda: only_vocabulary(b"\xff\xfe"), "tokenizer: expected one that transformers can load, found:"),
    "weights of no safetensors": (lambda: Path("model/model.safetensors").write_text("{}"), "model.safetensors: expected safetensors, found:"),
    "modules an object": (lambda: Path("model/modules.json").write_text("{}"), "modules.json: expected a JSON array, found dict"),
    "a dense layer": (lambda: change_modules(type="sentence_transformers.models.Dense"), "modules.json: expected modules of Transformer, Pooling, Normalize, found sentence_transformers.models.Dense"),
    "a module of its own": (lambda: change_modules(type="custom_st.Transformer"), "modules.json: expected modules of Transformer, Pooling, Normalize, found custom_st.Transformer"),
    "a model in another folder": (lambda: change_modules(path="0_Transformer"), "modules.json: expected its model beside it, found it in 0_Transformer"),
    "pooling by weights": (lambda: write_json(POOLING, {"pooling_mode_weightedmean_tokens": True}), "1_Pooling/config.json: pooling_mode: expected cls, mean, max, mean_sqrt_len_tokens, found weightedmean"),
    "pooling of the last token": (lambda: write_json(POOLING, {"pooling_mode": "lasttoken"}), "1_Pooling/config.json: pooling_mode: expected cls, mean, max, mean_sqrt_len_tokens, found lasttoken"),
    "two poolings": (lambda: write_json(POOLING, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}), "1_Pooling/config.json: pooling_mode: expected cls, mean, max, mean_sqrt_len_tokens, found cls and mean"),
    "no pooling": (POOLING.unlink, "modules.json: expected its pooling in 1_Pooling/config.json, found none there"),
    "tokenizer malformed": (lambda: Path("model/tokenizer.json").write_text("[]"), "tokenizer: expected one that transformers can load, found:"),
    "no [UNK]": (lambda: rename_token("[UNK]", "[OTHER]"), "tokenizer.json: expected [UNK] in the vocabulary, found none"),
    "no [SEP]": (lambda: rename_token("[SEP]", "[OTHER]"), "tokenizer_config.json: expected a sep_token that tokenizer.json knows, found '[SEP]'"),
    "text that spells a special token": (split_at_spaces, "tokenizer.json: expected no text to give a special token, found id 0"),
}
# fmt: on


# fmt: off
PARAMS: dict[str, tuple[dict[str, str], str]] = {
    "a folder that is not there": ({"fetch__folder": "nowhere"}, "fetch: nowhere: expected a folder, a zip or a tar, found none"),
    "a file of the folder": ({"fetch__folder": f"mine/{JUDGEMENTS_FILE}"}, f"fetch: mine/{JUDGEMENTS_FILE}: expected a folder, a zip or a tar, found another file"),
    "a folder without the files": ({"fetch__folder": "model/1_Pooling"}, f"fetch: model/1_Pooling: expected the file {LABELLED_DATA_FILE}, found config.json"),
    "another scheme": ({"fetch__folder": "s3://bucket/mine.zip"}, "fetch: s3://bucket/mine.zip: expected a folder, an archive or its http(s) URL, found s3://"),
    "nobody listens": ({"fetch__folder": "http://127.0.0.1:9/mine.zip"}, "fetch: http://127.0.0.1:9/mine.zip:"),
    "no source": ({"fetch__folder": '""'}, "fetch.folder: expected a folder, an archive or its URL, found ''"),
    "a digest of a folder": ({"fetch__sha256": "f" * 64}, f"fetch: mine: fetch.sha256: expected none of a folder, whose files DVC watches, found {'f' * 64}"),
    "a digest that is none": ({"fetch__sha256": "53AA"}, "fetch.sha256: expected 64 hex digits or an empty string, found '53AA'"),
    "a format that is not known": ({"fetch__format": "csv"}, "fetch.format: expected 'tutorial', 'table', 'beir', 'trec' or 'ir_datasets', found 'csv'"),
    "an id of no catalogue": ({"fetch__id": "cord19/trec-covid"}, "fetch.id: expected it empty with format tutorial, found 'cord19/trec-covid'"),
    "a catalogue without an id": ({"fetch__format": "ir_datasets"}, "fetch.id: expected an id with format ir_datasets, found ''"),
    "a data set that the catalogue has not": ({"fetch__format": "ir_datasets", "fetch__id": "cord"}, "fetch: cord: expected to load it through ir_datasets, found:"),
    "a hub model without commit": ({"fetch__base_model": "hub:google/bert@main"}, "fetch.base_model: expected hub:OWNER/NAME@COMMIT with 40 hex digits, package:NAME or path:FOLDER, found 'hub:google/bert@main'"),
    "a package that is not installed": ({"fetch__base_model": "package:no_such_package"}, "base_model: package:no_such_package: expected an installed package, found none of this name"),
    "min_relevant_grade 0": ({"join__min_relevant_grade": "0"}, "join.min_relevant_grade: expected greater than or equal to 1, found 0"),
    "query_input_size 2": ({"encode__query_input_size": "2"}, "encode.query_input_size: expected greater than or equal to 3, found 2"),
    "more tokens than positions": ({"encode__doc_input_size": "129"}, "encode: params.yaml: encode: expected query_input_size + doc_input_size of at most 160, the base model's positions, found 32 + 129"),
    "split by document": ({"split__by": "document"}, "split.by: expected 'query' or 'pair', found 'document'"),
    "one fold": ({"split__folds": "1"}, "split.folds: expected greater than or equal to 2, found 1"),
    "held_out no fold": ({"split__held_out": "3"}, "split.held_out: expected a fold below folds (3), found 3"),
    "seed below 0": ({"split__seed": "-1"}, "split.seed: expected greater than or equal to 0, found -1"),
    "more folds than queries": ({"split__folds": "7"}, "split: split.folds: expected queries in each of 7 folds, found none of 6 in fold 1: ask for fewer folds or another split.seed"),
    "ranks that the first stage does not keep": ({"negatives__from_rank": "201"}, "negatives.from_rank: expected at most first_stage.depth (200), found 201"),
    "learning rate a word": ({"train__learning_rate": "fast"}, "train.learning_rate: expected a valid number, found 'fast'"),
    "learning rate in quotes": ({"train__learning_rate": '"1e-5"'}, "train.learning_rate: expected a valid number, found '1e-5'"),
    "learning rate NaN": ({"train__learning_rate": ".nan"}, "train.learning_rate: expected a valid number, found '.nan'"),
    "learning rate 1": ({"train__learning_rate": "1"}, "train.learning_rate: expected less than 1, found 1"),
    "epochs fractional": ({"train__epochs": "2.5"}, "train.epochs: expected a valid integer, found 2.5"),
    "epochs true": ({"train__epochs": "true"}, "train.epochs: expected a valid integer, found True"),
    "epochs none": ({"train__epochs": ""}, "train.epochs: expected a valid integer, found None"),
    "batch_size 0": ({"train__batch_size": "0"}, "train.batch_size: expected greater than or equal to 1, found 0"),
    "a launcher that is not known": ({"train__launcher": "mpirun -n 2"}, "train.launcher: expected python, or torchrun with its options, found 'mpirun -n 2'"),
    "top-0": ({"train__trainable": "top-0"}, "train.trainable: expected head, top-N, layers or all, found 'top-0'"),
    "the head of a cosine": ({"train__trainable": "head"}, "encode: params.yaml: train.trainable: expected layers, top-N or all, because train.head cosine has no weights of its own, found head"),
    "a retriever's text of more tokens than positions": ({"first_stage__retriever": "hybrid", "retriever__max_length": "161"}, "encode: params.yaml: retriever.max_length: expected at most 160, the base model's positions, found 161"),
    "more layers of a retriever than there are": ({"first_stage__retriever": "hybrid", "retriever__trainable": "top-3"}, "encode: params.yaml: retriever.trainable: expected at most top-2, the base model's layers, found top-3"),
    "more layers than there are": ({"train__trainable": "top-3"}, "encode: params.yaml: train.trainable: expected at most top-2, the base model's layers, found top-3"),
    "precision fp16": ({"train__precision": "fp16"}, "train.precision: expected 'auto', 'bf16' or 'fp32', found 'fp16'"),
    "version of two parts": ({"export__version": "1.0"}, "export.version: expected a valid string, found 1.0"),
    "a name with capitals": ({"export__name": "Ranker"}, "export.name: expected a small letter, then small letters, digits and hyphens, found 'Ranker'"),
    "an order of no hits": ({"order__depth": "0"}, "order.depth: expected greater than or equal to 1, found 0"),
    "topics in a folder": ({"fetch__topics": "a/b.xml"}, "fetch.topics: expected a file's name without a folder, found 'a/b.xml'"),
    "a blank source": ({"fetch__folder": '" "'}, "fetch.folder: expected a folder, an archive or its URL, found ' '"),
    "a grade twice": ({"join__grades": "[0, 1, 1]"}, "join.grades: expected each once, and one of at least min_relevant_grade (1), found [0, 1, 1]"),
    "no grade that is relevant": ({"join__grades": "[0, 1]", "join__min_relevant_grade": "2"}, "join.grades: expected each once, and one of at least min_relevant_grade (2), found [0, 1]"),
    "held_out below 0": ({"split__held_out": "-1"}, "split.held_out: expected a fold, none or a split's name, found -1"),
    "held_out without a value": ({"split__held_out": ""}, "split.held_out: expected a valid string or integer, found None (and 1 more)"),
    "held_out an empty string": ({"split__held_out": '""'}, "split.held_out: expected a fold, none or a split's name, found ''"),
    "a named split by pair": ({"split__held_out": "test", "split__by": "pair"}, "split.held_out: expected a fold or none where by is pair, found test"),
    "a retriever that is not known": ({"first_stage__retriever": "splade"}, "first_stage.retriever: expected 'bm25', 'dense', 'base', 'hybrid', 'base_hybrid' or 'run', found 'splade'"),
    "a retriever's former name": ({"first_stage__retriever": "cosine"}, "first_stage.retriever: expected base, its present name, found cosine"),
    "retrievers, a list": ({"first_stage__retriever": "[bm25, dense]"}, "first_stage.retriever: expected 'bm25', 'dense', 'base', 'hybrid', 'base_hybrid' or 'run', found ['bm25', 'dense']"),
    "a run without a file": ({"first_stage__retriever": "run"}, "first_stage.run: expected a file's name in data/runs, because first_stage.retriever is run, found ''"),
    "a run in another folder": ({"first_stage__retriever": "run", "first_stage__run": "../mine"}, "first_stage.run: expected a file's name in data/runs, because first_stage.retriever is run, found '../mine'"),
    "a language's name": ({"first_stage__language": "English"}, "first_stage.language: expected a language's tag, such as en or zh-hans, found 'English'"),
    "a language with a quote": ({"first_stage__language": "'en\"'"}, "first_stage.language: expected a language's tag, such as en or zh-hans, found 'en\"'"),
    "first_stage.depth 9": ({"first_stage__depth": "9"}, "first_stage.depth: expected greater than or equal to 10, found 9"),
    "fewer hits than ranks to mine": ({"first_stage__depth": "10"}, "negatives.from_rank: expected at most first_stage.depth (10), found 11"),
    "from_rank 0": ({"negatives__from_rank": "0"}, "negatives.from_rank: expected greater than or equal to 1, found 0"),
    "per_positive below 0": ({"negatives__per_positive": "-1"}, "negatives.per_positive: expected greater than or equal to 0, found -1"),
    "learning rate 0": ({"train__learning_rate": "0"}, "train.learning_rate: expected greater than 0, found 0"),
    "epochs in quotes": ({"train__epochs": '"3"'}, "train.epochs: expected a valid integer, found '3'"),
    "targets that are not known": ({"train__targets": "ranks"}, "train.targets: expected 'graded' or 'binary', found 'ranks'"),
    "a head that is not known": ({"train__head": "pooler"}, "train.head: expected 'cosine' or 'classifier', found 'pooler'"),
    "version of two parts in quotes": ({"export__version": '"1.0"'}, "export.version: expected MAJOR.MINOR.PATCH, found '1.0'"),
    "an order of more hits than the first stage has": ({"order__depth": "201"}, "order.depth: expected at most first_stage.depth (200), because evaluation orders those hits, found 201"),
    "a model that is not known": ({"vespa__model": "int4"}, "vespa.model: expected 'int8' or 'fp32', found 'int4'"),
    "timeout_ms 0": ({"vespa__timeout_ms": "0"}, "vespa.timeout_ms: expected greater than or equal to 1, found 0"),
    "latency_ms 0": ({"vespa__latency_ms": "0"}, "vespa.latency_ms: expected greater than or equal to 1, found 0"),
    "a seed twice": ({"crossval__seeds": "[13, 13]"}, "crossval.seeds: expected each once, found [13, 13]"),
}
# fmt: on


# fmt: off
WHOLE: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "the file: expected parameters by name, found None"),
    "a list": (lambda text: "- fetch\n", "the file: expected parameters by name, found ['fetch']"),
    "not YAML": (lambda text: "fetch: [\n", "expected YAML in UTF-8, found:"),
    "a typo": (lambda text: text.replace("per_positive:", "per_positives:"), "negatives.per_positive: expected a value, found none (and 1 more)"),
    "a section missing": (lambda text: re.sub(r"(?m)^join:\n(?:  .*\n)+", "", text), "fetch: params.yaml: join: expected a value, found none"),
    "a parameter more": (lambda text: text.replace("  per_positive:", "  per_negative: 3\n  per_positive:"), "negatives.per_negative: no such parameter"),
    "a language for Vespa alone": (lambda text: text.replace("vespa:\n", "vespa:\n  language: de\n"), "vespa.language: no such parameter"),
    "a section more": (lambda text: text + "trian:\n  epochs: 2\n", "trian: no such parameter"),
    "a tag that makes objects": (lambda text: text.replace("epochs: 2", "epochs: !!python/name:os.system"), "expected YAML in UTF-8, found:"),
}
# fmt: on


# Files of a search, and its options with the line that begins so.
# fmt: off
SEARCHED = {
    "none.csv": "document_id,title\n",
    "other.csv": "document_id,text\n1,x\n",
    "broken.json": "{}",
    "base.json": '{"first_stage": "base", "order": "fused", "depth": 1, "weights": {"cross_encoder": 1, "cosine": 1, "bm25": 1}, "language": "en"}',
    "dvc.yaml": "",
}
SEARCH = [
    (" ", "", "query: expected a letter, a digit or a symbol to search for, found ' '"),
    ("masks", "--top 0", "--top: expected at least 1, found 0"),
    ("masks", "--threads -1", f"--threads: expected 0 to {os.cpu_count()} (this machine's cores), found -1"),
    ("masks", "--documents nowhere.csv", "nowhere.csv: No such file or directory"),
    ("masks", "--documents none.csv", "none.csv: expected documents, found none"),
    ("masks", "--documents other.csv", "other.csv: expected a column title (or title_full), found document_id, text"),
    ("masks", "--column text=x", "--column: expected NAME=COLUMN with NAME of query_id, query, document_id, grade, title, found 'text=x'"),
    ("masks", "--stack nowhere.json", "nowhere.json: expected the stack of stage package, found none: run dvc repro, or give --stack"),
    ("masks", "--stack broken.json", "broken.json: expected a stack as stage package writes it, found: KeyError('weights')"),
    ("masks", "--stack base.json", "base.json: first_stage.retriever: expected bm25, dense or hybrid, because the untrained base model is no exported folder, found base: set it in params.yaml and run dvc repro, or search in the engine"),
    ("masks", "--retriever-dir nowhere", "nowhere/embedding.json: expected a file that stage export_retriever wrote, found none"),
    ("masks", "--model-dir nowhere", "nowhere/encoding.json: expected a file that stage export wrote, found none"),
    ("masks", "--retriever-dir changed", "changed/model.onnx: expected sha256 "),
    ("masks", "--vectors models/kept", "--vectors: expected a folder outside the pipeline's models, found models/kept"),
]
# fmt: on


MANY = ["x"] * (1001)
# Requests to the HTTP doors: path, body and the line of the answer, all of status 422.
# fmt: off
SERVICE = [
    ("/rerank", "x", "body: expected JSON, found: expected value at line 1 column 1"),
    ("/rerank", b"\xff", "body: expected JSON, found: "),
    ("/rerank", "", "body: expected JSON, found: EOF while parsing"),
    ("/rerank", "[" * 100_000, "body: expected JSON, found: recursion limit exceeded"),
    ("/rerank", [1], "body: expected a JSON object, found [1]"),
    ("/rerank", {"texts": ["a"]}, "query: expected a value, found none"),
    ("/rerank", {"query": "masks"}, "texts: expected a value, found none"),
    ("/rerank", {"query": "masks", "texts": "Masks"}, "texts: expected a valid list, found 'Masks'"),
    ("/rerank", {"query": "masks", "texts": []}, "texts: List should have at least 1 item"),
    ("/rerank", {"query": "masks", "texts": MANY}, "texts: List should have at most 1000 items"),
    ("/rerank", {"query": "masks", "texts": ["a", None]}, "texts.1: expected a valid string, found None"),
    ("/rerank", {"query": "masks", "texts": ["a"], "raw_score": True}, "raw_score: no such field"),
    ("/rerank", {"query": "masks", "texts": ["a"], "raw_scores": "yes"}, "raw_scores: expected a valid boolean, found 'yes'"),
    ("/rerank", {"query": "masks", "texts": ["a"], "truncation_direction": "Left"}, "truncation_direction: expected 'Right' or 'right', found 'Left'"),
    ("/rerank", '{"query": "masks", "texts": ["\\ud800"]}', "body: expected JSON, found: "),
    ("/rerank", {"query": " \u200b\u00ad", "texts": ["a"]}, "query: expected a letter, a digit or a symbol to search for, found"),
    ("/rerank", {"query": "x" * 10_001, "texts": ["a"]}, "query: String should have at most 10000 characters"),
    ("/v2/rerank", {"query": "masks", "documents": ["a", {"title": "b"}]}, "documents.1: expected a valid string, found {'title': 'b'}"),
    ("/v2/rerank", {"query": "masks", "documents": ["a"], "top_n": 0}, "top_n: expected greater than or equal to 1, found 0"),
    ("/v2/rerank", {"query": "masks", "documents": ["a"], "rank_fields": ["title"]}, "rank_fields.0: expected 'text', found 'title'"),
    ("/v2/rerank", {"query": "masks", "documents": ["a"], "texts": ["a"]}, "texts: no such field"),
    ("/rerank", '{"query": "masks", "query": "bats", "texts": ["a"]}', "query: expected once, found twice or more"),
    ("/rerank", {"query": "masks", "texts": ["a"], "a\n\x1b[31m" + "b" * 2000: 1}, "a [31mbbb"),
    ("/rerank?raw_scores=true", {"query": "masks", "texts": ["a"]}, "address: expected options in the body alone, found raw_scores"),
    ("/embed", {"inputs": ["a"], "normalize": False}, "normalize: expected True, found False"),
    ("/embed", {"inputs": [["a"]]}, "inputs.0: expected a valid string, found ['a']"),
    ("/search", {"query": "masks", "top": 1001}, "top: expected less than or equal to 1000, found 1001"),
    ("/search", {"query": "\u200b"}, "query: expected a letter"),
]
# fmt: on
