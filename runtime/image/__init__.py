"""Images as arrays: preprocessing kernels, files, geometry, composition, metrics."""
