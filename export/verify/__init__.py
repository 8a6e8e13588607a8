"""Checks of an exported file: parity, precision, FP16 range, drift, MACs."""
