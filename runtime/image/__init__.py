"""Image processing on NumPy arrays: resizing, packing, files, geometry, composition, metrics."""
