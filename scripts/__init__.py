"""Scripts that make runs beside the pipeline: `python -m scripts.NAME`."""
