"""The base model and the cross-encoder in PyTorch: embed, score, features."""
