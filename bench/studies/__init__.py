"""Studies behind docs/scale.md that the table of `python -m bench` does not cover: one script a question."""
