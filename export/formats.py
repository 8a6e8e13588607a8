"""What `cgt export` makes: one table for the command, its help, its checks and the manual.

An engine is always built from an ONNX file, which stays beside it: it is what another machine
builds its own engine from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import IOType


@dataclass(frozen=True)
class BuildOptions:
    """How to build; which of them a format takes says the table.

    compute_capabilities: of the GPUs to build for, 86 for 8.6. workspace: MiB of GPU memory that
    layers may use as scratch. timing_cache: a file that is read, and written anew, so that the
    next build takes seconds. dla: the core of a deep learning accelerator. hardware_compatible:
    runs on every GPU from Ampere on. version_compatible: runs with later TensorRT of the same
    major version. Both cost speed. pictures: a folder of real ones to prove the engine on.
    backends: of Triton's that a model repository is for, all that fit by default.
    """

    compute_capabilities: tuple[int, ...] = ()
    workspace: int | None = None
    timing_cache: Path | None = None
    dla: int | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    eval_images: Path | None = None
    backends: tuple[str, ...] = ()

    def non_default(self) -> tuple[str, ...]:
        """Names of those that are not as by default."""
        return tuple(f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default)

    def subset(self, names: tuple[str, ...]) -> BuildOptions:
        """Those that one of several formats takes."""
        return BuildOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Format:
    """A kind of file, and what it takes to make it."""

    name: str
    suffix: str  # "" for a folder
    runs_on: str  # where it runs
    builder: str  # module of cgt.export.builders; "" for ONNX itself
    package: str  # that the builder imports; "" for none
    install_hint: str  # what brings the package
    default_io: IOType  # tensors it is fastest with
    default_precision: str  # that one exports for it when nothing is said
    options: tuple[str, ...] = ()  # of BuildOptions
    needs_gpu: bool = False  # built on the very GPU that it is for
    fp32_only: bool = False  # and image tensors alone


_ONNX = Format("onnx", ".onnx", "everything", "", "", "", "float", "fp32")
_TENSORRT = Format(
    "tensorrt",
    ".engine",
    "the NVIDIA GPU that it is built on",
    "tensorrt",
    "tensorrt",
    "pip install 'cyclegan-toolkit[tensorrt]', or JetPack's own on a Jetson",
    "uint8",
    "fp16",
    ("workspace", "timing_cache", "dla", "hardware_compatible", "version_compatible"),
    needs_gpu=True,
)
_TENSORRT_RTX = dataclasses.replace(
    _TENSORRT,
    name="tensorrt-rtx",
    runs_on="GeForce and RTX cards, named by compute capability; built without a GPU",
    package="tensorrt_rtx",
    install_hint="pip install 'cyclegan-toolkit[tensorrt-rtx]'",
    options=("compute_capabilities", "workspace"),
    needs_gpu=False,
)
_OPENVINO = Format(
    "openvino",
    ".xml",
    "Intel and AMD CPUs, Intel GPUs and NPUs",
    "openvino",
    "openvino",
    "pip install openvino",
    "float",
    "fp32",
)

_LITERT = Format(
    "litert",
    ".tflite",
    "phones",
    "litert",
    "litert_torch",
    "pip install 'cyclegan-toolkit[litert]'",
    "uint8",
    "fp32",
    ("eval_images",),
    fp32_only=True,
)

_TRITON = Format(
    "triton",
    "",
    "Triton Inference Server; see [triton.md](triton.md)",
    "triton",
    "",
    "",
    "uint8",
    "fp32",
    ("backends",),
)

TRITON_BACKENDS = ("python", "onnxruntime", "tensorrt")  # of Triton, that a repository can be for

FORMATS = {
    made.name: made for made in (_ONNX, _TENSORRT, _TENSORRT_RTX, _OPENVINO, _LITERT, _TRITON)
}


def find_format(name: str) -> Format:
    """Raises UsageError for a name that is not in the table."""
    if name not in FORMATS:
        raise UsageError(f"format {name} is unknown; use one of {', '.join(FORMATS)}")
    return FORMATS[name]


def check_options(formats: tuple[str, ...], options: BuildOptions) -> None:
    """Raises UsageError for an option that none of the formats takes."""
    taken = {option for name in formats for option in find_format(name).options}
    for option in options.non_default():
        if option not in taken:
            formats_with_option = [fmt.name for fmt in FORMATS.values() if option in fmt.options]
            raise UsageError(
                f"{option.replace('_', ' ')} is for --format {' or '.join(formats_with_option)} only"
            )


def check_graph_supported(fmt: Format, precision: str, norm: str) -> None:
    """Raises UsageError for a graph that the format has no builder for."""
    if fmt.fp32_only and (precision != "fp32" or norm == "stream"):
        raise UsageError(
            f"--format {fmt.name} takes fp32 graphs with image tensors alone, not {precision}, "
            f"norm {norm}; export with --fp32 and without --norm stream"
        )
    if fmt.name == "triton" and norm == "stream":
        raise UsageError(
            "a Triton server takes each frame by itself, and --norm stream carries statistics from "
            "one to the next; export without it"
        )


def format_markdown_table() -> str:
    """The formats as a Markdown table."""
    rows = [
        "| `--format` | file | runs on | needs | tensors | precision |",
        "|---|---|---|---|---|---|",
    ]
    for fmt in FORMATS.values():
        needs = fmt.install_hint or "-"
        file = f"`{fmt.suffix}`" if fmt.suffix else "a folder"
        rows.append(
            f"| `{fmt.name}` | {file} | {fmt.runs_on} | {needs} | {fmt.default_io} | {fmt.default_precision} |"
        )
    return "\n".join(rows)
