"""Stage evaluate and the cross-validation: baselines, fusion, intervals and tests."""
