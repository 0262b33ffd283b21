"""Stage join: a source's judgements and a user's own, as checked tables."""
