"""Side-by-side benchmarks: the tutorial's way, sentence-transformers and this project, in one run on one machine."""
