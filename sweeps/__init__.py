"""Searches over params.yaml, each trial a `dvc exp run`."""
