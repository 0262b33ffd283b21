"""Rank with the exported model: ONNX Runtime and tokenizers, no torch, no pandas."""
