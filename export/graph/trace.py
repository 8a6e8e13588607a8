"""Tracing of a PyTorch network to an ONNX graph."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from cgt.runtime.errors import ModelError
from cgt.runtime.models.metadata import IOType

from ..quiet import suppress_output
from ..shapes import InputShapes

DEFAULT_OPSET = 18
CONV_OPS = ("Conv", "ConvTranspose")
_AXIS_NAMES: dict[IOType, dict[int, str]] = {
    "float": {0: "batch", 2: "height", 3: "width"},
    "uint8": {0: "batch", 1: "height", 2: "width"},
}


@dataclass(frozen=True)
class GraphInterface:
    """Inputs and outputs of a graph.

    "image" becomes "translated". With `statistics`, "statistics_in" becomes "statistics_out" too
    (see `cgt.runtime.models.metadata`). Sides are multiples of `multiple`.
    """

    channels: int = 3
    multiple: int = 4
    io: IOType = "float"
    statistics: int = 0
    shapes: InputShapes = field(default_factory=InputShapes)

    @property
    def input_names(self) -> list[str]:
        return ["image", "statistics_in"] if self.statistics else ["image"]

    @property
    def output_names(self) -> list[str]:
        return ["translated", "statistics_out"] if self.statistics else ["translated"]

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return tensors to trace with; sides that vary differ, so that none is specialized."""
        units = max(2, 64 // self.multiple)
        batch, height, width = (
            self.shapes.fixed_size(axis) or other
            for axis, other in enumerate((2, units * self.multiple, (units + 1) * self.multiple))
        )
        if self.io == "uint8":
            image = torch.zeros(batch, height, width, self.channels, dtype=torch.uint8)
        else:
            image = torch.zeros(batch, self.channels, height, width)
        return (image, torch.zeros(batch, self.statistics)) if self.statistics else (image,)

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """Return the dimensions of each input that torch.export must leave open."""
        axes = list(_AXIS_NAMES[self.io])
        image: dict[int, Any] = {}
        if self.shapes.fixed_size(0) is None:
            image[axes[0]] = torch.export.Dim("batch", min=1, max=4096)
        for index, name in ((1, "height"), (2, "width")):
            if self.shapes.fixed_size(index) is None:
                # Reflection padding needs a few pixels in the smallest layer.
                min_units, max_units = max(1, 16 // self.multiple), 8192 // self.multiple
                units = torch.export.Dim(f"{name}_units", min=min_units, max=max_units)
                image[axes[index]] = self.multiple * units
        statistics_axes = {0: image[axes[0]]} if axes[0] in image else {}
        return (image, statistics_axes) if self.statistics else (image,)


def trace(
    network: nn.Module, interface: GraphInterface | None = None, opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """Return an ONNX model of the network; convolutions are named like its modules."""
    interface = interface or GraphInterface()
    with suppress_output():  # the exporter prints its passes, and its own deprecations as warnings
        program = torch.onnx.export(
            network.eval(),
            interface.example_inputs(),
            dynamo=True,
            opset_version=opset,
            input_names=interface.input_names,
            output_names=interface.output_names,
            dynamic_shapes=interface.dynamic_shapes(),
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    _name_axes(model, interface)
    _name_layers(model)
    _strip_metadata(model)
    return model


class UntraceableError(ModelError):
    """PyTorch cannot export a network as one graph for the shapes that are wanted."""


def trace_any(network: nn.Module, interface: GraphInterface, opset: int) -> onnx.ModelProto:
    """Return an ONNX model of a network of any code, as `trace` does.

    If torch.export fails for fixed shapes, the operations of one run are recorded instead. The
    recording must repeat the network's outputs for other images, because it takes the same branches
    for all of them.

    Raises:
        UntraceableError: Neither works.
    """
    reason = "its code takes another path for another image"
    try:
        return trace(network, interface, opset)
    except Exception as error:  # whatever their code or the exporter raises
        if interface.shapes.fixed_size(1) is None or interface.shapes.fixed_size(2) is None:
            raise UntraceableError(_short_reason(error)) from None
        reason = _short_reason(error)
    try:
        model, recorded = _record(network, interface, opset)
    except Exception:
        raise UntraceableError(reason) from None
    for low, high in _RECORDING_CHECKS:
        generator = torch.Generator().manual_seed(0)
        inputs = tuple(
            ((torch.rand(x.shape, generator=generator) * (high - low) + low + 1) * 127.5).to(
                x.dtype
            )
            if x.dtype == torch.uint8
            else torch.rand(x.shape, generator=generator) * (high - low) + low
            for x in interface.example_inputs()
        )
        with torch.no_grad():
            if not _nearly_equal(network(*inputs), recorded(*inputs)):
                raise UntraceableError("its code takes another path for another image")
    return model


_RECORDING_CHECKS = ((-1, 1), (-1, 0), (0, 1), (-0.5, 0.5))
"""Values of noise images: all, dark, bright, and of low contrast."""


def _nearly_equal(a: Any, b: Any) -> bool:
    first, second = (x[0] if isinstance(x, tuple) else x for x in (a, b))
    return torch.allclose(first.float(), second.float(), rtol=1e-3, atol=1e-3)


def _short_reason(error: Exception) -> str:
    """Return the first line of the innermost error of the exporter."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def _record(
    network: nn.Module, interface: GraphInterface, opset: int
) -> tuple[onnx.ModelProto, Callable[..., Any]]:
    """Return an ONNX model of one run's operations, and the recording."""
    inputs = interface.example_inputs()
    with (
        suppress_output(),
        torch.no_grad(),
        tempfile.TemporaryDirectory(prefix="cgt-") as folder,
    ):
        path = Path(folder, "recorded.onnx")
        recorded: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            network.eval(), inputs, check_trace=False
        )
        torch.onnx.export(
            network,
            inputs,
            path,
            dynamo=False,
            opset_version=opset,
            input_names=interface.input_names,
            output_names=interface.output_names,
            # Otherwise it folds norms into convolutions, whose weights then lose their names.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
        model = onnx.load(path)
    _name_axes(model, interface)
    _name_layers(model)
    _strip_metadata(model)
    return model, recorded


def _name_axes(model: onnx.ModelProto, interface: GraphInterface) -> None:
    """Name free dimensions batch, height and width instead of expressions of units."""
    names = _AXIS_NAMES[interface.io]
    for values in (model.graph.input, model.graph.output):
        for value, axes in zip(values, (names, {0: "batch"}), strict=False):
            dims = value.type.tensor_type.shape.dim
            for index, name in axes.items():
                fixed = interface.shapes.fixed_size(("batch", "height", "width").index(name))
                dims[index].Clear()
                if fixed is None:
                    dims[index].dim_param = name
                else:
                    dims[index].dim_value = fixed
    # Intermediate shapes use the old names, and every engine infers them again.
    del model.graph.value_info[:]


def _name_layers(model: onnx.ModelProto) -> None:
    """Name convolutions after modules instead of parameters such as network.model.4.weight.

    "network" is the attribute of this package's own wrappers.
    """
    for node in model.graph.node:
        if node.op_type in CONV_OPS:
            node.name = re.sub(r"^(network\.)+", "", node.input[1]).removesuffix(".weight")


def _strip_metadata(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces.

    They contain paths of the exporting machine and double the size of a small model.
    """
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
