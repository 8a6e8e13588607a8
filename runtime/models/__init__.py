"""Model files: metadata, sidecars, an ONNX reader, and the bundled models."""
