"""Fuzzing of what reads a user's files: one function for bytes of any kind, run by Hypothesis and by Atheris."""
