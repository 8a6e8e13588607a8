"""TensorRT builder configuration, optimization profiles and progress bars."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from cgt.runtime.errors import SourceError, UsageError
from cgt.runtime.image.geometry import format_size
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.utils.progress import open_console

from ..formats import BuildOptions
from ..shapes import Shape, ShapeProfile

if TYPE_CHECKING:
    import tensorrt as trt


def supported_compute_capabilities(api: ModuleType) -> list[int]:
    """Return the compute capabilities that TensorRT-RTX can build for without a GPU."""
    names = getattr(api, "ComputeCapability").__members__  # noqa: B009  the stubs are TensorRT's
    return sorted(int(name[2:]) for name in names if re.fullmatch(r"SM\d+", name))


def make_builder_config(
    api: ModuleType,
    builder: trt.Builder,
    options: BuildOptions,
    compute_capabilities: tuple[int, ...],
) -> trt.IBuilderConfig:
    """Return a builder configuration with these options.

    `compute_capabilities` are for TensorRT-RTX. Raises UsageError if this machine or this version
    does not support an option.
    """
    config: trt.IBuilderConfig = builder.create_builder_config()
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED  # the layer table needs it
    config.clear_flag(api.BuilderFlag.TF32)
    if compute_capabilities:
        config.num_compute_capabilities = len(compute_capabilities)
        for index, target in enumerate(compute_capabilities):
            capability = getattr(api.ComputeCapability, f"SM{target}")
            config.set_compute_capability(capability, index)
    if options.workspace is not None:
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace << 20)
    if options.hardware_compatible:
        config.hardware_compatibility_level = api.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(api.BuilderFlag.VERSION_COMPATIBLE)
    if options.timing_cache is not None:
        _load_timing_cache(config, options.timing_cache)
    return config


def _load_timing_cache(config: trt.IBuilderConfig, path: Path) -> None:
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise SourceError(f"timing cache {path} cannot be read: {error.strerror}") from None
    cache: trt.ITimingCache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        raise UsageError(
            f"timing cache {path} is damaged, or of another TensorRT or GPU; use another file"
        )


def engine_profiles(metadata: ModelMetadata) -> list[ShapeProfile]:
    """Return the model's shape profiles; without any, half to twice the sides of its size."""
    if metadata.profiles:
        return [
            ShapeProfile(_as_shape(entry["min"]), _as_shape(entry["opt"]), _as_shape(entry["max"]))
            for entry in metadata.profiles
        ]
    height, width = metadata.size
    if not metadata.dynamic:
        return [ShapeProfile(*(((1, height, width),) * 3))]

    def shape(scale: float) -> Shape:
        multiple = metadata.multiple
        return 1, _round_up(scale * height, multiple), _round_up(scale * width, multiple)

    return [ShapeProfile(shape(0.5), shape(1), shape(2))]


def format_profile(profile: ShapeProfile) -> str:
    """Return for example "1x128x128 to 8x512x512" (batch, width, height)."""
    low, high = (f"{shape[0]}x{format_size(shape[1:])}" for shape in (profile.min, profile.max))
    return low if low == high else f"{low} to {high}"


def _as_shape(sides: list[int]) -> Shape:
    count, height, width = sides
    return count, height, width


def _round_up(side: float, multiple: int) -> int:
    return max(1, -int(-side // multiple)) * multiple


def set_profile_shapes(
    profile: ShapeProfile,
    trt_profile: trt.IOptimizationProfile,
    network: trt.INetworkDefinition,
    io: str,
) -> None:
    """Set the shapes of a TensorRT profile for the image and, if there are any, the statistics."""
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sides = tuple(tensor.shape)
        axes = {4: (0, 1, 2) if io == "uint8" else (0, 2, 3)}.get(len(sides), (0,))
        shapes = []
        for wanted in (profile.min, profile.opt, profile.max):
            shape = list(sides)
            for axis, side in zip(axes, wanted, strict=False):
                shape[axis] = side if sides[axis] < 0 else sides[axis]
            shapes.append(tuple(shape))
        trt_profile.set_shape(tensor.name, *shapes)


@contextmanager
def progress_monitor(api: ModuleType, stop: threading.Event) -> Iterator[Any]:
    """Yield an IProgressMonitor of `api` (tensorrt or tensorrt_rtx) with a bar for each phase.

    The bars are shown on a terminal only. Setting `stop` ends the build at its next step.
    """
    console = open_console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())

    class Monitor(api.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Called by several threads of the builder; Progress locks for itself."""

        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self.tasks: dict[str, TaskID] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            label = f"  {phase_name}" if parent_phase else phase_name
            self.tasks[phase_name] = progress.add_task(label, total=num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.tasks:
                progress.update(self.tasks[phase_name], completed=step + 1)
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            task = self.tasks.pop(phase_name, None)
            if task is not None:
                progress.remove_task(task)

    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield Monitor()
