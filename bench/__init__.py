"""Side-by-side benchmarks: the tutorial's code, sentence-transformers and this project, in one run on one machine."""
