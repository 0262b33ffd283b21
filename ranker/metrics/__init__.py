"""Measures of a ranking, of a classifier, and of how alike two rankings are."""
