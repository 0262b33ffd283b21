"""Stages fetch and join: judgements and base model from elsewhere, as checked tables."""
