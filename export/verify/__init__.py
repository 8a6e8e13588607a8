"""Verification of exported files: parity, precision, FP16 range, layer drift, MACs."""
