"""Search documents with a whole stack, without an engine: BM25, vectors, cross-encoder and their sum."""
