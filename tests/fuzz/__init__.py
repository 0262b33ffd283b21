"""Fuzzing of the readers of user files: one function of arbitrary bytes each, run by Hypothesis and by Atheris."""
