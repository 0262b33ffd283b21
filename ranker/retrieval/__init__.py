"""First stage: each query's best documents in the whole collection, and negatives mined from them."""
