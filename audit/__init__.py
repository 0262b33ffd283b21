"""The numbers again, by other libraries and no module of ranker: `python -m audit`."""
