"""Stage export: ONNX in fp32 and int8, proved equal and sealed by a manifest."""
