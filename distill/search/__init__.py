"""Search for the largest student that reaches a frame rate on this machine."""
