"""Rank with what was exported: ONNX Runtime and tokenizers, no torch, no pandas."""
