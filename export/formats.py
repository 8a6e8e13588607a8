"""Registry of export formats, for `cgt export`, its help, its checks and the manual.

An engine is always built from an ONNX file, which stays next to it: another machine builds its own
engine from that file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import IOType


@dataclass(frozen=True)
class BuildOptions:
    """Options of an engine build; FORMATS lists which a format takes.

    Attributes:
        compute_capabilities: GPUs to build for; 86 stands for compute capability 8.6.
        workspace: MiB of GPU memory that layers may use as scratch.
        timing_cache: File that is read and overwritten; the next build then takes seconds.
        hardware_compatible: Run on every GPU from Ampere on, at some cost of speed.
        version_compatible: Run with later TensorRT of the same major version, at some cost of
            speed.
        eval_images: Folder of images to verify the engine on.
        backends: Triton backends that a model repository is for; empty for all that fit.
    """

    compute_capabilities: tuple[int, ...] = ()
    workspace: int | None = None
    timing_cache: Path | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    eval_images: Path | None = None
    backends: tuple[str, ...] = ()

    def non_default(self) -> tuple[str, ...]:
        """Return the names of the options that are not defaults."""
        return tuple(f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default)

    def subset(self, names: tuple[str, ...]) -> BuildOptions:
        """Return the options with these names; the others are defaults."""
        return BuildOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Format:
    """A kind of file, and what its builder needs."""

    name: str
    suffix: str  # "" for a folder
    runs_on: str
    builder: str  # module of cgt.export.builders; "" for ONNX itself
    package: str  # imported by the builder; "" for none
    install_hint: str  # how to install the package
    default_io: IOType  # the fastest for it
    default_precision: str  # exported if no precision is given
    options: tuple[str, ...] = ()  # fields of BuildOptions that it takes
    needs_gpu: bool = False  # is built on the GPU that runs it
    fp32_only: bool = False  # takes only fp32 graphs without statistics tensors
    fp32_norm: bool = False  # is as fast if norms of FP16 graphs compute in FP32 alone


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
    ("workspace", "timing_cache", "hardware_compatible", "version_compatible"),
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
    fp32_norm=True,
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

TRITON_BACKENDS = ("python", "onnxruntime", "tensorrt")

FORMATS = {fmt.name: fmt for fmt in (_ONNX, _TENSORRT, _TENSORRT_RTX, _OPENVINO, _LITERT, _TRITON)}


def find_format(name: str) -> Format:
    """Return a format by its name. Raises UsageError for an unknown one."""
    if name not in FORMATS:
        raise UsageError(f"format {name} is unknown; use one of {', '.join(FORMATS)}")
    return FORMATS[name]


def check_options(formats: tuple[str, ...], options: BuildOptions) -> None:
    """Raise UsageError for an option that none of the formats takes."""
    taken = {option for name in formats for option in find_format(name).options}
    for option in options.non_default():
        if option not in taken:
            names = " or ".join(fmt.name for fmt in FORMATS.values() if option in fmt.options)
            raise UsageError(f"{option.replace('_', ' ')} is for --format {names} only")


def check_graph_supported(fmt: Format, precision: str, norm: str) -> None:
    """Raise UsageError for a graph that the format's builder does not take."""
    if fmt.fp32_only and (precision != "fp32" or norm == "stream"):
        raise UsageError(
            f"--format {fmt.name} takes only fp32 graphs without statistics tensors, not "
            f"{precision}, norm {norm}; export with --fp32 and without --norm stream"
        )
    if fmt.name == "triton" and norm == "stream":
        raise UsageError(
            "a Triton server translates each frame independently, and --norm stream passes "
            "statistics from one frame to the next; export without it"
        )


def format_markdown_table() -> str:
    """Return the formats as a Markdown table."""
    rows = [
        "| `--format` | file | runs on | needs | tensors | precision |",
        "|---|---|---|---|---|---|",
    ]
    for fmt in FORMATS.values():
        needs = fmt.install_hint or "-"
        file = f"`{fmt.suffix}`" if fmt.suffix else "a folder"
        rows.append(
            f"| `{fmt.name}` | {file} | {fmt.runs_on} | {needs} "
            f"| {fmt.default_io} | {fmt.default_precision} |"
        )
    return "\n".join(rows)
