"""Checkpoints that other people's code wrote.

The way of a file: `reading` (bytes, nothing executed) -> `networks` (the state dicts in it, by
name) -> `layers` (a state dict as convolutions in the order of execution) -> `resnet`, `unet`,
`discriminator` (what those are, as a GeneratorConfig with its evidence) -> `mapping` (their
tensors under our names, strictly) -> `proof` (does it translate?).
"""

from __future__ import annotations
