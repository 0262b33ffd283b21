"""This project's own: params.yaml, paths, tables, and whether they fit the base model."""
