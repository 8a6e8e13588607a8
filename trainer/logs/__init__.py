"""Logs of training runs: metrics.csv, TensorBoard, sample images, best checkpoint, plots."""
