"""The files a matrix is made of: one network in several precisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cgt.runtime.artifact import Direction, ModelMetadata
from cgt.runtime.cache import cache_dir, cached_sha256, short_hash
from cgt.runtime.engines import read_model_metadata
from cgt.runtime.errors import CgtError, CheckpointError, ModelError, SinkError

MODEL_SUFFIXES = (".onnx", ".engine", ".plan")
EXPORTED_PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def find_sibling_models(model: Path) -> list[Path]:
    """The model and the files beside it that say they hold the same network of the same
    checkpoint, in other precisions or with other tensors. Raises ModelError for `model` alone."""
    metadata = read_model_metadata(model)
    found = [model]
    if not metadata.checkpoint_sha256:
        return found
    for path in sorted(model.parent.iterdir()):
        if path.suffix not in MODEL_SUFFIXES or path.samefile(model):
            continue
        try:
            if _network_id(read_model_metadata(path)) == _network_id(metadata):
                found.append(path)
        except ModelError:
            continue  # somebody else's file
    return found


def _network_id(metadata: ModelMetadata) -> tuple[str, str]:
    return metadata.checkpoint_sha256, metadata.direction


def export_all_precisions(
    checkpoint: Path,
    direction: Direction | None = None,
    calib: Path | None = None,
    log: Callable[[str], None] = lambda note: None,
) -> list[Path]:
    """A checkpoint's generator in every precision of PRECISIONS, from a cache folder. No floor of
    quality: the matrix shows it. direction, calib: as in `cgt.export.export`; tell: is given why a
    precision is missing. Needs torch; raises CheckpointError, SinkError and ModelError."""
    from cgt.export import export

    if not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint} is missing")
    folder = cache_dir("bench", short_hash(cached_sha256(checkpoint), direction, calib))
    if folder is None:
        raise SinkError("there is no cache folder to export to; set XDG_CACHE_HOME to one")
    paths, calibration = [], str(calib) if calib else None
    for precision in EXPORTED_PRECISIONS:
        path = folder / f"{checkpoint.stem}_{precision}.onnx"
        try:
            if not path.exists():
                options: dict[str, Any] = {"calib": calibration} if precision == "int8" else {}
                export(
                    checkpoint,
                    path,
                    direction=direction,
                    precision=precision,
                    min_psnr=0.0,
                    **options,
                )
        except CheckpointError:
            raise
        except CgtError as error:
            log(f"no {precision}: {error}")
            continue
        paths.append(path)
    if not paths:
        raise ModelError(f"{checkpoint} could not be exported in any precision")
    return paths


def reference_model(models: Sequence[Path]) -> Path:
    """The file to compare the others with: the first in fp32, else the first."""
    return next(
        (path for path in models if read_model_metadata(path).precision == "fp32"), models[0]
    )
