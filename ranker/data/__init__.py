"""Stage join: judgements from elsewhere and a user's own, as checked tables."""
