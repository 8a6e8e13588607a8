"""The files a matrix is made of: one network in several precisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cgt.runtime.artifact import Artifact, Direction
from cgt.runtime.cache import cache_folder, digest, file_digest
from cgt.runtime.engines import read_model
from cgt.runtime.errors import CgtError, CheckpointError, ModelError, SinkError

SUFFIXES = (".onnx", ".engine", ".plan")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def siblings(model: Path) -> list[Path]:
    """The model and the files beside it that say they hold the same network of the same
    checkpoint, in other precisions or with other tensors. Raises ModelError for `model` alone."""
    own = read_model(model)
    found = [model]
    if not own.checkpoint_sha256:
        return found
    for path in sorted(model.parent.iterdir()):
        if path.suffix not in SUFFIXES or path.samefile(model):
            continue
        try:
            if _network(read_model(path)) == _network(own):
                found.append(path)
        except ModelError:
            continue  # somebody else's file
    return found


def _network(artifact: Artifact) -> tuple[str, str]:
    return artifact.checkpoint_sha256, artifact.direction


def exports(
    checkpoint: Path,
    direction: Direction | None = None,
    calib: Path | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> list[Path]:
    """A checkpoint's generator in every precision of PRECISIONS, from a cache folder. No floor of
    quality: the matrix shows it. direction, calib: as in `cgt.export.export`; tell: is given why a
    precision is missing. Needs torch; raises CheckpointError, SinkError and ModelError."""
    from cgt.export import export

    if not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint} is missing")
    folder = cache_folder("bench", digest(file_digest(checkpoint), direction, calib))
    if folder is None:
        raise SinkError("there is no cache folder to export to; set XDG_CACHE_HOME to one")
    paths, calibration = [], str(calib) if calib else None
    for precision in PRECISIONS:
        path = folder / f"{checkpoint.stem}_{precision}.onnx"
        try:
            if not path.exists():
                wishes: dict[str, Any] = {"calib": calibration} if precision == "int8" else {}
                export(
                    checkpoint,
                    path,
                    direction=direction,
                    precision=precision,
                    min_psnr=0.0,
                    **wishes,
                )
        except CheckpointError:
            raise
        except CgtError as error:
            tell(f"no {precision}: {error}")
            continue
        paths.append(path)
    if not paths:
        raise ModelError(f"{checkpoint} could not be exported in any precision")
    return paths


def reference(models: Sequence[Path]) -> Path:
    """The file to compare the others with: the first in fp32, else the first."""
    return next((path for path in models if read_model(path).precision == "fp32"), models[0])
