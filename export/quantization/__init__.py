"""INT8 quantization: calibration, Q/DQ nodes, mixed precision."""
