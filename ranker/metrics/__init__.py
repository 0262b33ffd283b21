"""Measures of rankings, of classifiers, and of the agreement of two rankings."""
