"""Releases: registered versions, the last one as it ships, and what the new one changes."""
