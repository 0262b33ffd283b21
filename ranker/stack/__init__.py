"""A search's parts, which measuring and serving share: BM25, scaled sums of scores, and the stack that joins them."""
