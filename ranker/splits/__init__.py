"""Stage split: folds over queries, and what leaks between them."""
