"""Judging: forms to fill in, and their grades merged into a user's own judgements."""
