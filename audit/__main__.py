"""Recompute the results in the working tree, and print each figure's difference.

python -m audit

It does not import `ranker`, and computes each figure anew. Exit status 1 if one differs by more than its tolerance.
"""

import csv
import json
import math
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import regex
import Stemmer
from tokenizers import Tokenizer

RAW = Path("data/raw")
RANKER = Path("models/ranker")
DRAWS = 4000  # random orders, random signs
VECTORS = {"dense": "retriever", "base": "base_cosine"}  # a list's score
Row = dict[str, Any]
STEMMED = regex.compile("ar|ca|da|de|el|en|es|fi|fr|ga|hu|id|it|nb|nn|no|nl|pt|ro|ru|sv|tr")  # by Vespa with Snowball


def rows(path: str) -> list[Row]:
    return list(pq.read_table(path).to_pylist())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def by_query(run: list[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in run:
        grouped[row["query_id"]].append(row)
    return grouped


def relevant(run: list[Row]) -> dict[str, list[Row]]:
    """Queries with a relevant document; without those that have stand-ins, if ten others are left."""
    queries = {query: found for query, found in by_query(run).items() if any(row["relevant"] for row in found)}
    judged = {query: found for query, found in queries.items() if all(row["judged"] for row in found)}
    return judged if len(judged) >= 10 else queries


def join_counts() -> Iterator[tuple[str, float]]:
    """Pairs kept of the tutorial's CSV, by rules written anew, against data/joined and results/join.json."""
    if not (RAW / "labelled_data_all.json").is_file():
        print("skipped  join          counts are recomputed for the tutorial's files only")
        return
    known = {str(entry["query_id"]) for entry in read_json(RAW / "labelled_data_all.json")}
    min_relevant_grade = read_json(RANKER / "manifest.json")["params"]["join"]["min_relevant_grade"]
    with (RAW / "training_all_jugdments_data.csv").open(encoding="utf-8-sig", newline="") as file:
        listed = [row for row in csv.DictReader(file) if row["label"].strip()]
    grades: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in listed:
        grades[row["query_id"], row["document_id"]].add(int(float(row["label"])))
    kept: dict[tuple[str, str], int] = {}
    for row in listed:
        pair, grade = (row["query_id"], row["document_id"]), int(float(row["label"]))
        if pair[0] in known and row["title-full"].strip() and len(grades[pair]) == 1 and grade >= 0:
            kept.setdefault(pair, grade)
    found = {(row["query_id"], row["document_id"]): row for row in rows("data/joined/pairs.parquet") if row["judged"]}
    counts = read_json(Path("results/join.json"))["kept"]
    yield "pairs that differ", len(set(kept) ^ set(found))
    yield "grades that differ", sum(found[pair]["grade"] != grade for pair, grade in kept.items() if pair in found)
    yield "relevant that differ", sum(row["relevant"] != (row["grade"] >= min_relevant_grade) for row in found.values())
    yield "pairs counted wrong", abs(counts["pairs"] - len(kept))
    yield "documents counted wrong", abs(counts["judged_documents"] - len({document for _, document in kept}))


def folds() -> Iterator[tuple[str, float]]:
    """Queries with equal tokens that are in several folds."""
    tokenizer = Tokenizer.from_file("data/base_model/tokenizer.json")
    texts = {row["query_id"]: row["query"] for row in rows("data/joined/queries.parquet")}
    by = read_json(RANKER / "manifest.json")["params"]["split"]["by"]
    places: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for row in rows("data/split/pairs.parquet"):
        places[tuple(tokenizer.encode(texts[row["query_id"]], add_special_tokens=False).ids)].add(row["fold"])
    yield "queries in several folds", sum(len(place) > 1 for place in places.values()) if by == "query" else 0


def bm25(run: list[Row]) -> Iterator[tuple[str, float]]:
    """Vespa's formula, k1 1.2, b 0.75, over all judged documents, summed over their fields."""
    params = read_json(RANKER / "manifest.json")["params"]
    tag = params["first_stage"]["language"].split("-")[0]
    stem = Stemmer.Stemmer("no" if tag in ("nb", "nn") else tag).stemWord if STEMMED.fullmatch(tag) else str

    def terms(text: str) -> list[str]:
        text = "".join(c for c in text if unicodedata.category(c) != "Cf" and (c >= " " or c in "\t\n\r"))
        found = regex.findall(r"\p{So}|[\p{L}\p{Mn}\p{Mc}\p{N}]+", text)
        plain = [unicodedata.normalize("NFD", unicodedata.normalize("NFKC", term).lower()) for term in found]
        return [stem("".join(c for c in term if not "\u0300" <= c <= "\u036f")) for term in plain]

    queries = {row["query_id"]: terms(row["query"]) for row in rows("data/joined/queries.parquet")}
    judged = {row["document_id"] for row in rows("data/split/documents.parquet")}
    texts = {row["document_id"]: row for row in rows("data/joined/documents.parquet") if row["document_id"] in judged}
    names = params["join"]["document_fields"]
    fields = [{document: Counter(terms(row[name])) for document, row in texts.items()} for name in names]
    frequencies = [Counter(term for counts in field.values() for term in counts) for field in fields]
    means = [sum(sum(counts.values()) for counts in field.values()) / len(texts) for field in fields]

    def score(query: str, document: str) -> float:
        total = 0.0
        for field, frequency, mean in zip(fields, frequencies, means, strict=True):
            counts, length = field[document], sum(field[document].values())
            for term in queries[query]:
                if term in counts:
                    rarity = math.log(1 + (len(texts) - frequency[term] + 0.5) / (frequency[term] + 0.5))
                    total += rarity * counts[term] * 2.2 / (counts[term] + 1.2 * (1 - 0.75 + 0.75 * length / mean))
        return total

    yield "score", max(abs(score(row["query_id"], row["document_id"]) - row["bm25"]) for row in run)


def cosine(run: list[Row]) -> Iterator[tuple[str, float]]:
    """Mean pooling of the base model's last layer with transformers' own model, text by text."""
    import torch
    from transformers import AutoModel

    settings = read_json(Path("data/base_model/sentence_encoder.json"))
    if settings["pooling"] != "mean" or settings["query_prompt"] or settings["document_prompt"]:
        yield "not recomputed: another pooling, or prompts", 0
        return
    model = AutoModel.from_pretrained("data/base_model", local_files_only=True).eval()
    ids = read_json(RANKER / "encoding.json")

    @torch.inference_mode()
    def embed(tokens: list[int]) -> np.ndarray:
        cut = tokens[: (settings["max_length"] or ids["positions"]) - 2]
        states = model(torch.tensor([[ids["cls_id"], *cut, ids["sep_id"]]])).last_hidden_state[0].mean(dim=0)
        return np.asarray(states / states.norm())

    queries = {row["query_id"]: embed(row["tokens"]) for row in rows("data/split/queries.parquet")}
    wanted = {row["document_id"] for row in run}
    known = [row for row in rows("data/split/documents.parquet") if row["document_id"] in wanted]
    documents = {row["document_id"]: embed(row["tokens"]) for row in known}
    cosines = (float(queries[row["query_id"]] @ documents[row["document_id"]]) for row in run)
    yield "cosine", max(abs(found - row["base_cosine"]) for found, row in zip(cosines, run, strict=True))


def onnx_scores(run: list[Row]) -> Iterator[tuple[str, float]]:
    """Scores of model.onnx from texts, laid out by encoding.json only, pair by pair."""
    contract = read_json(RANKER / "encoding.json")
    tokenizer = Tokenizer.from_file(str(RANKER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(RANKER / "model.onnx"), providers=["CPUExecutionProvider"])
    texts = {row["query_id"]: row["query"] for row in rows("data/joined/queries.parquet")}
    titles = {row["document_id"]: row["text"] for row in rows("data/split/documents.parquet")}

    def score(row: Row) -> float:
        query = tokenizer.encode(texts[row["query_id"]], add_special_tokens=False).ids
        title = tokenizer.encode(titles[row["document_id"]], add_special_tokens=False).ids
        first = [contract["cls_id"], *query[: contract["query_input_size"] - 2], contract["sep_id"]]
        second = [*title[: contract["doc_input_size"] - 1], contract["sep_id"]]
        ids, types = np.array([first + second]), np.array([[0] * len(first) + [1] * len(second)])
        inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": np.ones_like(ids)}
        (logits,) = session.run(["logits"], inputs)
        return float(logits[0, 1] - logits[0, 0])

    yield "score", max(abs(score(row) - row["cross_encoder"]) for row in run)


def dcg(gains: list[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:10], 1))


def measures(ranked: list[Row]) -> dict[str, float]:
    """Measures of one query; `ranked` has its documents, best first."""
    gains = [row["grade"] for row in ranked]
    found = [rank for rank, row in enumerate(ranked, 1) if row["relevant"]]
    return {
        "nDCG@10": dcg(gains) / dcg(sorted(gains, reverse=True)),
        "RR@10": 1 / found[0] if found[0] <= 10 else 0.0,
        "AP": sum((place + 1) / rank for place, rank in enumerate(found)) / len(found),
        "P@5": sum(rank <= 5 for rank in found) / 5,
    }


def best_first(scores: Iterable[float], found: list[Row]) -> list[Row]:
    """Documents in trec_eval's order: float32 scores falling, then ids falling."""
    scored = zip(np.array(list(scores), np.float32), found, strict=True)
    return [row for _, row in sorted(scored, key=lambda each: (each[0], each[1]["document_id"]), reverse=True)]


def of_system(run: list[Row], system: str) -> dict[str, dict[str, float]]:
    """Measures by query."""
    return {query: measures(best_first([row[system] for row in own], own)) for query, own in relevant(run).items()}


def systems_measures(run: list[Row]) -> Iterator[tuple[str, float]]:
    for file in sorted(Path("results/metrics").glob("*.json")):
        if file.stem in run[0]:
            table = of_system(run, file.stem).values()
            for name, value in read_json(file).items():
                yield f"{file.stem} {name}", abs(float(np.mean([found[name] for found in table])) - value)


def expectations(run: list[Row]) -> Iterator[tuple[str, float]]:
    """Differences from the mean of random orders, in its standard errors."""
    random = np.random.default_rng(1)
    draws: dict[str, list[float]] = defaultdict(list)
    groups = list(relevant(run).values())
    for _ in range(DRAWS // 10):
        found = [measures([group[row] for row in random.permutation(len(group))]) for group in groups]
        for name in found[0]:
            draws[name].append(float(np.mean([each[name] for each in found])))
    for name, value in read_json(Path("results/metrics/random.json")).items():
        drawn = np.array(draws[name])
        yield f"random {name}, standard errors", float(abs(drawn.mean() - value) / drawn.std() * math.sqrt(len(drawn)))


def p_values(run: list[Row]) -> Iterator[tuple[str, float]]:
    """Sign-flip tests with all 2^n signs, or DRAWS random ones."""
    compared = read_json(Path("results/comparison.json"))["differences"]
    own, random = of_system(run, "cross_encoder"), np.random.default_rng(2)
    for system in [name for name in compared if name in run[0]]:
        other = of_system(run, system)
        gains = np.array([own[query]["nDCG@10"] - other[query]["nDCG@10"] for query in own])
        bits = random.integers(0, 2, (DRAWS, len(gains)))
        if len(gains) <= 12:
            bits = np.arange(2 ** len(gains))[:, None] >> np.arange(len(gains)) & 1
        p = float(np.mean(np.abs(((2 * bits - 1) * gains).mean(axis=1)) >= abs(gains.mean()) - 1e-12))
        yield f"p against {system}", abs(p - compared[system]["nDCG@10"]["p"])


def stack_scores(hits: list[Row], stack: Row, lists: list[str]) -> list[float]:
    """The shipped stack's scores of one query's hits: one score alone, or a weighted sum of scores scaled to 0..1."""
    if stack["order"] == "as_found" and len(lists) == 1:
        return [-hit[f"{lists[0]}_rank"] for hit in hits]
    if stack["order"] == "cross_encoder":
        return [hit["cross_encoder"] for hit in hits]
    columns = {"cross_encoder": "cross_encoder"} if stack["order"] == "fused" else {}
    columns |= {"cosine": VECTORS[lists[-1]]} if lists[-1] in VECTORS else {}
    sums = np.zeros(len(hits))
    for part, column in (columns | {"bm25": "bm25"}).items():
        scores = np.array([hit[column] for hit in hits], float)
        low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
        sums += stack["weights"][part] * ((scores - low) / (high - low) if high > low else 0.5)
    return list(sums)


def served(run: list[Row]) -> Iterator[tuple[str, float]]:
    """Measures of the shipped stack's hits against all judgements, in its own order and in the cross-encoder's."""
    stack, found = read_json(Path("models/stack.json")), defaultdict(list)
    shipped = f"{stack['first_stage']}+{stack['order']}".removesuffix("+as_found")
    joined = {"hybrid": ["bm25", "dense"], "base_hybrid": ["bm25", "base"]}
    lists = joined.get(stack["first_stage"], [stack["first_stage"]])
    orders = {"reranked/cross_encoder": stack | {"order": "cross_encoder"}, f"stacks/{shipped}": stack}
    hits = by_query(rows("data/scored/hits.parquet"))
    for query, known in relevant([row for row in run if row["judged"]]).items() if hits else ():
        grades = {row["document_id"]: row["grade"] for row in known}
        inside = [hit for hit in hits[query] if min(hit[f"{by}_rank"] or math.inf for by in lists) <= stack["depth"]]
        for path, order in orders.items():
            best = [hit["document_id"] for hit in best_first(stack_scores(inside, order, lists), inside)[:10]]
            gain = dcg([grades.get(name, 0) for name in best])
            found[path, "nDCG@10"].append(gain / dcg(sorted(grades.values(), reverse=True)))
            if best:
                found[path, "Judged@10"].append(sum(name in grades for name in best) / len(best))
    for (path, name), values in found.items():
        yield f"{path} {name}", abs(float(np.mean(values)) - read_json(Path(f"results/metrics/{path}.json"))[name])


CHECKS: dict[str, tuple[Callable[..., Iterator[tuple[str, float]]], float]] = {
    "join": (join_counts, 0),
    "folds": (folds, 0),
    "BM25": (bm25, 1e-4),
    "cosine": (cosine, 1e-5),
    "ONNX": (onnx_scores, 1e-4),
    "measures": (systems_measures, 1e-9),
    "expectations": (expectations, 5),
    "p": (p_values, 0.03),
    "served": (served, 1e-9),
}


def main() -> None:
    if read_json(Path("results/comparison.json"))["headline"]["verdict"] == "not measured":
        sys.exit("audit: expected held-out queries to measure on, found split.held_out none")
    run, differ = rows("results/evaluation/run.parquet"), 0
    for name, (check, tolerance) in CHECKS.items():
        for what, difference in check(run) if check not in (join_counts, folds) else check():
            wrong = not difference <= tolerance  # NaN, too
            differ += wrong
            print(f"{'DIFFERS' if wrong else 'equal':8} {name:13} {what:42} {difference:.2g} (at most {tolerance:g})")
    sys.exit(f"audit: {differ} figures differ" if differ else None)


if __name__ == "__main__":
    main()
