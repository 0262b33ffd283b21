"""Stage first_stage: what finds each query's best documents of the whole collection."""
