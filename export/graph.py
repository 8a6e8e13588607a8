"""A generator as an ONNX graph."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import onnx
import torch
from torch import Tensor, nn

OPSET = 18
INPUT, OUTPUT = "image", "translated"


class _FP32Norm(nn.Module):
    """A normalisation computed in FP32 inside an FP16 network: the sum of squares over a whole
    picture leaves FP16's range (TensorRT #2691, ONNX Runtime #10079)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.float()).half()
        return out


class HalfPrecision(nn.Module):
    """A network whose convolutions compute in FP16, its norms in FP32; float32 in and out.

    The given network is converted in place: pass a copy.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()
        for module in list(network.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.modules.instancenorm._InstanceNorm):
                    setattr(module, name, _FP32Norm(child))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.half()).float()
        return out


def trace(network: nn.Module, channels: int, multiple: int = 4) -> onnx.ModelProto:
    """An ONNX model of the network: "image" N,C,H,W float32 -> "translated", for any batch and any
    H and W that are multiples of `multiple`."""
    units = max(2, 64 // multiple)
    example = torch.zeros(2, channels, units * multiple, (units + 1) * multiple)
    batch = torch.export.Dim("batch", min=1, max=4096)
    # A padding by reflection needs a few pixels in the smallest layer; a U-Net has none.
    least, most = max(1, 16 // multiple), 8192 // multiple
    h, w = (torch.export.Dim(f"{side}_units", min=least, max=most) for side in ("height", "width"))
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: batch, 2: multiple * h, 3: multiple * w},),
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    _name_sides(model)
    _strip_notes(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its passes on stdout and its own deprecations as warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_sides(model: onnx.ModelProto) -> None:
    """Call the free dimensions batch, height and width instead of expressions of units."""
    for value in (model.graph.input[0], model.graph.output[0]):
        dims = value.type.tensor_type.shape.dim
        for index, name in ((0, "batch"), (2, "height"), (3, "width")):
            dims[index].Clear()
            dims[index].dim_param = name
    # Shapes between are spelled in the old names, and every engine infers them again.
    del model.graph.value_info[:]


def _strip_notes(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces: they name the exporting machine's paths and double the
    size of a small model."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
