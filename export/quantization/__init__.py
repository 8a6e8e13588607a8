"""INT8: calibration, Q/DQ nodes, mixed precision."""
