"""The entry points of the DAG, one module per stage of dvc.yaml: `python -m stages.NAME`."""
