"""Our options as a builder's configuration."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from cgt.runtime.errors import SourceError, UsageError

from ..formats import BuildOptions

if TYPE_CHECKING:
    import tensorrt as trt


def supported_compute_capabilities(api: ModuleType) -> list[int]:
    """That TensorRT-RTX can build for without a card."""
    names = getattr(api, "ComputeCapability").__members__  # noqa: B009  the stubs are TensorRT's
    return sorted(int(name[2:]) for name in names if re.fullmatch(r"SM\d+", name))


def make_builder_config(
    api: ModuleType,
    builder: trt.Builder,
    options: BuildOptions,
    compute_capabilities: tuple[int, ...],
) -> trt.IBuilderConfig:
    """A configuration; targets are for TensorRT-RTX. Raises UsageError for what this machine or
    version has not."""
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
    if options.dla is not None:
        _use_dla(api, builder, config, options.dla)
    if options.timing_cache is not None:
        _load_timing_cache(config, options.timing_cache)
    return config


def _use_dla(api: ModuleType, builder: trt.Builder, config: trt.IBuilderConfig, core: int) -> None:
    if core >= builder.num_DLA_cores:
        raise UsageError(
            f"--dla {core}: TensorRT {api.__version__} finds {builder.num_DLA_cores} accelerators "
            "here; leave the option out"
        )
    config.default_device_type = api.DeviceType.DLA
    config.DLA_core = core
    # Normalisation and reflection padding are not among what an accelerator computes.
    config.set_flag(api.BuilderFlag.GPU_FALLBACK)


def _load_timing_cache(config: trt.IBuilderConfig, path: Path) -> None:
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise SourceError(f"timing cache {path} cannot be read: {error.strerror}") from None
    cache: trt.ITimingCache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        raise UsageError(
            f"timing cache {path} is damaged, or of another TensorRT or GPU; name another file"
        )
