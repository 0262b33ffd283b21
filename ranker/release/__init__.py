"""Registered versions: their tags in Git, their data in DVC, and the version that Vespa serves."""
