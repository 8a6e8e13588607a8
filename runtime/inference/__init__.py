"""Inference on frames: translator, buffers, tiling, temporal smoothing, optical flow."""
