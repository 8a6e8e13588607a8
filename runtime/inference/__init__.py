"""A model applied to frames: translator, buffers, tiles, temporal smoothing."""
