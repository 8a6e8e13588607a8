"""Engine builders, one module per format, imported on demand."""
