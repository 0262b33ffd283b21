"""Stages export and export_retriever: ONNX in fp32 and int8, checked against PyTorch, with a manifest of digests."""
