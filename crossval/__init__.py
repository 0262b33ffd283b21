"""Cross-validation by query, opt-in: `dvc repro crossval/dvc.yaml`. One module per stage of crossval/dvc.yaml."""
