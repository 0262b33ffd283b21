"""Stages fetch and join: judgements from elsewhere, as checked tables."""
