"""Builder of OpenVINO IR: NAME.xml and NAME.bin."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cgt.runtime.errors import ModelError, SinkError
from cgt.runtime.models.metadata import ModelMetadata

from ..formats import BuildOptions, Format
from .base import BuildResult, LogFn, load_package


def build(
    onnx: Path, metadata: ModelMetadata, fmt: Format, options: BuildOptions, log: LogFn
) -> BuildResult:
    """Save the same graph and weights in OpenVINO's format, which loads without the ONNX importer.

    Raises:
        ModelError: OpenVINO cannot read the model.
        SinkError: The files cannot be written.
    """
    ov = load_package(fmt)
    try:
        model = ov.Core().read_model(onnx)
    except RuntimeError as error:
        text = str(error).strip().splitlines()[-1]
        raise ModelError(f"OpenVINO cannot read {onnx}: {text}") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        try:
            ov.save_model(model, path, compress_to_fp16=False)  # the graph defines the precision
        except RuntimeError:  # always an "iostream error" without the system's message
            raise SinkError(f"cannot write in {folder}: is the disk full?") from None
        files = {suffix: path.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin")}
    return BuildResult(version=ov.__version__.split("-")[0], files=files)
