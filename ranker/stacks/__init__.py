"""Measure stacks over tables of hits: the table, fitted weights, the curve over judgements, costs."""
