"""Stage split: folds over queries, and the leakage between them."""
