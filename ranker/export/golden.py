"""Golden vectors for ports to other languages: texts, tokens, the three inputs, logits or the embedding."""

from ranker.contract.embedding import lay_out_texts
from ranker.contract.layout import INPUTS, OUTPUT, lay_out
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever

GOLDEN_FILE = "golden.json"
TOLERANCE = 1e-4  # between fp32 outputs of different chips and ONNX Runtime versions

TEXTS = {
    "ordinary": ("coronavirus origin", "The proximal origin of SARS-CoV-2"),
    "one word each": ("masks", "Masks"),
    "empty query": ("", "A title without a query"),
    "empty title": ("a query without a title", ""),
    "nothing at all": ("", ""),
    "both over-long": ("virus in bats and in birds " * 40, "long titles are cut, not refused " * 60),
    "case and accents": ("ÉTUDE Über Köln", "Étude clinique: façade naïve, Ångström"),
    "other scripts": ("冠状病毒 起源", "منشأ فيروس كورونا — происхождение вируса"),
    "combining characters": ("e\u0301tude", "n\u0303o c\u0327a"),
    "emoji": ("🦠 mask", "Vaccines 💉 for 👩‍🔬"),
    "control characters": ("bats\tand\nbirds", "zero\u0000width\u200bspace\u0007 and\u00a0no break"),
    "special tokens as text": ("[SEP] [PAD] [CLS]", "What [SEP] and [PAD] mean [UNK] [MASK]"),
    "one endless word": ("a" * 300, "b" * 300),
    "punctuation": ("what's R0?", "(A) B/C: D—E; “F”... 100% [sic]"),
}


def golden(ranker: Ranker) -> dict[str, object]:
    """golden.json's content: a vector for each of TEXTS, padded to the contract's full length."""
    vectors = []
    for name, (query, document) in TEXTS.items():
        query_tokens, (document_tokens,) = ranker.encode_query(query), ranker.encode_documents([document])
        inputs = lay_out(ranker.layout, [query_tokens], [document_tokens], ranker.layout.max_length)
        vectors.append(
            {
                "name": name,
                "query": query,
                "document": document,
                "query_tokens": query_tokens.tolist(),
                "document_tokens": document_tokens.tolist(),
                **{tensor: inputs[tensor][0].tolist() for tensor in INPUTS},
                OUTPUT: [float(logit) for logit in ranker.logits(inputs)[0]],
            }
        )
    return {"model": "model.onnx", "logits_within": TOLERANCE, "vectors": vectors}


def golden_embeddings(retriever: Retriever) -> dict[str, object]:
    """The retriever's golden.json: an embedding of each query and document of TEXTS, one text a batch."""
    vectors = []
    for text in dict.fromkeys(side for sides in TEXTS.values() for side in sides):
        tokens = retriever.encode([text])
        inputs = lay_out_texts(retriever.layout, tokens)
        embedding = [round(float(number), 7) for number in retriever.vectors(inputs)[0]]
        vectors.append(
            {
                "text": text,
                "tokens": tokens[0].tolist(),
                **{tensor: inputs[tensor][0].tolist() for tensor in INPUTS},
                "embedding": embedding,
            }
        )
    return {"model": "model.onnx", "embeddings_within": TOLERANCE, "vectors": vectors}
