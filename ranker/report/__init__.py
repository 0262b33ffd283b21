"""Stage report: one HTML page and its plots."""
