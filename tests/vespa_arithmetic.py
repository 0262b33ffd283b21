"""What Vespa computes of a pair, stated in plain Python, for an application package to be held to.

The rules are those of Vespa's TokenTransformer and its HuggingFaceTokenizer: a tensor's length is how many of its cells
are above 0, wherever they are; a token sequence is cut at its length without a word.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

Tensor = list[float]


def embed(tokenizer: Tokenizer, text: str, size: int) -> Tensor:
    """The token ids of a text in a tensor of `size` cells: cut to it, or 0 to its end."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids[:size]
    return [float(i) for i in ids] + [0.0] * (size - len(ids))


def token_length(tensor: Tensor) -> int:
    return sum(cell > 0 for cell in tensor)


def token_input_ids(cls: int, sep: int, length: int, *inputs: Tensor) -> Tensor:
    cells = [float(cls)]
    for tensor in inputs:
        cells += [*tensor[: token_length(tensor)], float(sep)]
    return (cells + [0.0] * length)[:length]


def token_type_ids(length: int, *inputs: Tensor) -> Tensor:
    first = 1 + token_length(inputs[0]) + 1
    whole = 1 + sum(token_length(tensor) + 1 for tensor in inputs)
    return [1.0 if first <= cell < whole else 0.0 for cell in range(length)]


def token_attention_mask(length: int, *inputs: Tensor) -> Tensor:
    whole = 1 + sum(token_length(tensor) + 1 for tensor in inputs)
    return [1.0 if cell < whole else 0.0 for cell in range(length)]


@dataclass(frozen=True)
class Application:
    """An application package, read from its files alone."""

    folder: Path
    schema: str

    @classmethod
    def read(cls, folder: Path) -> "Application":
        (schema,) = (folder / "schemas").iterdir()
        return cls(folder, schema.read_text())

    def size(self, pattern: str) -> int:
        """Cells of the tensor whose declaration starts so."""
        return int(re.findall(pattern + r"\)? (?:type )?tensor<float>\(d0\[(\d+)\]\)", self.schema)[0])

    def expression(self, function: str) -> str:
        return re.findall(rf"function {function}\(\) \{{\s+expression \{{\s+(.*?)\s+\}}", self.schema)[0]

    def inputs(self, query: Tensor, document: Tensor) -> dict[str, np.ndarray]:
        """What the rank profile binds to each of the model's inputs, as the model's own int64."""
        bound = re.findall(r"\binput (\w+): (\w+)", self.schema)
        return {name: np.array([self._evaluate(f, query, document)], np.int64) for name, f in bound}

    def _evaluate(self, function: str, query: Tensor, document: Tensor) -> Tensor:
        name, arguments = re.fullmatch(r"(\w+)\((.*)\)", self.expression(function)).groups()  # type: ignore[union-attr]
        *special, length = (int(number) for number in re.findall(r"(?<![\w(])\d+", arguments))
        tensors = {"query(query_token_ids)": query, "attribute(doc_token_ids)": document}
        given = [tensors[reference] for reference in re.findall(r"\w+\(\w+\)", arguments)]
        if name == "customTokenInputIds":
            cls, sep = special
            return token_input_ids(cls, sep, length, *given)
        return {"tokenTypeIds": token_type_ids, "tokenAttentionMask": token_attention_mask}[name](length, *given)

    def score(self, query: Tensor, document: Tensor) -> float:
        """The global phase's expression, its `onnx(...)` run by ONNX Runtime."""
        (file,) = re.findall(r"file: (\S+)", self.schema)
        (output,) = re.findall(r"\boutput (\w+):", self.schema)
        session = onnxruntime.InferenceSession(self.folder / file, providers=["CPUExecutionProvider"])
        logits = session.run([output], self.inputs(query, document))[0]
        expression = re.findall(r"global-phase \{\s+expression \{\s+(.*?)\s+\}\s", self.schema)[0]
        plus, minus = re.findall(r"onnx\(cross_encoder\)\.logits\{d0:0,d1:(\d)\}", expression)
        assert expression.count(" - ") == 1
        return float(logits[0, int(plus)]) - float(logits[0, int(minus)])
