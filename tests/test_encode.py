"""stages.encode: the lengths of texts, and how many of their tokens are unknown to the base model."""

import numpy as np
import pandas as pd
import pytest

import stages.encode
from ranker.common.files import read_json
from ranker.project import paths, tables
from ranker.project.documents import write_documents


def write(queries: list[str], titles: list[str]) -> None:
    ids = [str(row) for row in range(len(queries))]
    tables.write_table(paths.QUERIES, pd.DataFrame({"query_id": ids, "query": queries}))
    write_documents(paths.DOCUMENTS, ((str(row), [title]) for row, title in enumerate(titles)), ["title"])
    tables.write_table(paths.PAIRS, pd.DataFrame(columns=tables.PAIR.names))


@pytest.mark.usefixtures("bare")
def test_encode_counts_whole_texts_and_their_percentiles(capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred titles of 1 to 100 tokens, longer than the contract allows; one query in ten has no known character."""
    write(["a"] * 9 + ["☃"], [" ".join("a" * length) for length in range(1, 101)])
    stages.encode.main()
    found = read_json(paths.ENCODE_COUNTS)
    assert found["documents"] == {
        "texts": 100,
        "tokens": 5050,
        "tokens_of_50_percent_at_most": 51,  # with an even number, the longer of the middle two
        "tokens_of_90_percent_at_most": 91,
        "tokens_of_99_percent_at_most": 100,
        "tokens_of_100_percent_at_most": 100,
        "unknown_share": 0.0,
    }
    assert found["queries"]["unknown_share"] == 0.1
    printed = capsys.readouterr().out
    assert "encode: warning: 10% of the tokens of queries are [UNK]: the base model does not read" in printed
    assert printed.count("warning") == 1
    assert tables.read_tokens(paths.ENCODED_DOCUMENTS).lengths.tolist() == list(range(1, 101))


@pytest.mark.parametrize("texts", [1, 2, 9, 10, 11, 99, 100, 101, 1000])
def test_percentiles_are_numpys(texts: int) -> None:
    lengths = np.random.default_rng(texts).integers(0, 40, texts)
    parts = np.array_split(lengths, 3)
    counts = stages.encode.Counts(unknown=None)
    list(counts.watch((tables.pack(map(str, part), [[5] * length for length in part]), []) for part in parts))
    found = counts.report("texts")
    for percentile in stages.encode.PERCENTILES:
        expected = np.percentile(lengths, percentile, method="higher")
        assert found[f"tokens_of_{percentile}_percent_at_most"] == expected
