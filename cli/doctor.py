"""cgt doctor"""

from __future__ import annotations

import importlib.metadata
import platform

import click

_EXTRAS = {
    "onnxruntime": "[ort]",
    "onnxruntime-gpu": "[gpu]",
    "torch": "[train]",
    "onnx": "[train]",
    "efficientnet-lite-pytorch": "[projected]",
    "scikit-video": "[demo]",
}


@click.command("doctor")
def command() -> None:
    """Say what this machine can do, and what to install for what it cannot yet."""
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, fact in _facts():
        table.add_row(name, fact)
    Console(markup=False).print(table)


def _facts() -> list[tuple[str, str]]:
    import av
    import openvino as ov

    from cgt.runtime.engines import cores
    from cgt.runtime.preprocess import simd_path

    core = ov.Core()
    types = [str(kind).lower() for kind in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")]
    encoder = "libx264" if "libx264" in av.codecs_available else "no H.264"
    facts = [
        ("cgt", importlib.metadata.version("cyclegan-toolkit")),
        ("python", f"{platform.python_version()} on {platform.machine()}, {cores()} cores"),
        ("pixels", f"C library, {simd_path()}"),
        (
            "openvino",
            f"{_version('openvino')}: {', '.join(core.available_devices)}; computes in "
            f"{', '.join(kind for kind in types if kind in ('fp32', 'bf16', 'fp16', 'int8'))}",
        ),
        ("video", f"PyAV {_version('av')}, encodes with {encoder}"),
        ("opencv", _version("opencv-python") or _version("opencv-python-headless") or "missing"),
    ]
    for package, extra in _EXTRAS.items():
        missing = f"not installed: pip install 'cyclegan-toolkit{extra}'"
        facts.append((package, _version(package) or missing))
    return facts


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
