"""Checkpoint to ONNX graph: tracing, norms, reduced precision, uint8 tensors."""
