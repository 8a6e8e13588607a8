"""Checks of ONNX Runtime's CUDA provider: libraries of pip packages, nodes that run on the CPU."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ModelError
from ..models.metadata import read_metadata
from ..utils.log import warn_user

_MIN_IMAGE_DIMS = 3  # of a tensor; smaller ones are shapes, statistics and scales


def load_cuda_libraries(ort: ModuleType) -> str:
    """Load CUDA and cuDNN from the packages that the extra [gpu] installs, if there are any.

    ONNX Runtime does not look for them there by itself.

    Args:
        ort: the module onnxruntime.

    Returns:
        The last line that ONNX Runtime prints about a library that does not load, or "".
    """
    if not hasattr(ort, "preload_dlls"):  # before 1.21
        return ""
    printed = StringIO()
    with redirect_stdout(printed):
        ort.preload_dlls()
    failed = [line for line in printed.getvalue().splitlines() if line.startswith("Failed")]
    return failed[-1] if failed else ""


def warn_about_int8(path: Path) -> None:
    """Log a line if a model is INT8, which the CUDA provider computes in floating point."""
    try:
        precision = read_metadata(path).precision
    except ModelError:  # a model of another tool
        return
    if precision == "int8":
        warn_user(
            f"{path.name} is INT8, which ONNX Runtime computes in floating point on CUDA, with "
            "extra rounding; an --fp16 file is faster here, and --format tensorrt computes in INT8"
        )


class PlacementCheck:
    """Profile of the first run of a session, from which the nodes that run on the CPU are read.

    Args:
        session_options: options of the session to be created; profiling is enabled in them.
    """

    def __init__(self, session_options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cgt-profile-")
        session_options.enable_profiling = True
        session_options.profile_file_prefix = str(Path(self._folder.name) / "run")

    def finish(self, session: Any, version: str) -> None:
        """End the profile and log a line about nodes on the CPU.

        Args:
            session: the session after its first run.
            version: version of ONNX Runtime.
        """
        profile = Path(session.end_profiling()).read_text()
        self._folder.cleanup()
        operators = count_cpu_nodes(json.loads(profile))
        if operators:
            names = ", ".join(f"{count} {name}" for name, count in operators.most_common())
            warn_user(
                f"ONNX Runtime {version} computes {operators.total()} nodes on the CPU ({names}) "
                "and copies their images back and forth; use onnxruntime-gpu 1.25 or newer, which "
                "needs Python 3.11, or --format tensorrt"
            )

    def close(self) -> None:
        """Delete the profile."""
        self._folder.cleanup()


def count_cpu_nodes(profile: list[dict[str, Any]]) -> Counter[str]:
    """Count the nodes of a profile that compute images on the CPU, by operator.

    Args:
        profile: events of ONNX Runtime's profile in Chrome's trace format.
    """
    nodes = {
        event["name"]: event["args"]["op_name"]
        for event in profile
        if event.get("cat") == "Node"
        and event["args"].get("provider") == "CPUExecutionProvider"
        and any(
            len(dims) >= _MIN_IMAGE_DIMS
            for tensor in event["args"].get("output_type_shape", ())
            for dims in tensor.values()
        )
    }
    return Counter(nodes.values())
