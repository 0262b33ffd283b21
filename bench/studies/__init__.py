"""What docs/scale.md quotes and the table of `python -m bench` has no rows for: one script a question."""
