"""A model's network in PyTorch, with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cgt.runtime.artifact import Direction
from cgt.runtime.engines import open_engine, read_model_metadata
from cgt.runtime.errors import MissingDependency, ModelError

from .feed import ModelInputs

MAX_ERROR = 1e-3  # of [-1, 1], the largest error
MAX_INT8_RMSE = 0.08  # of [-1, 1], root mean square: 28 dB, the floor of an export to INT8


def require_torch() -> Any:
    """The module. Raises MissingDependency."""
    try:
        import torch
    except ImportError:
        raise MissingDependency("pip install 'cyclegan-toolkit[train]'") from None
    return torch


def load_network(model: Path, ckpt: Path | None, direction: Direction | None) -> Any:
    """An nn.Module in eval mode: the checkpoint's generator, or without one the network that the
    ONNX file describes, with the weights of the ONNX file. Raises ModelError where it computes
    something else than the file, CheckpointError, and MissingDependency without torch."""
    require_torch()
    if ckpt is not None:
        from cgt.trainer.generator import open_generator

        network: Any = open_generator(ckpt, direction).network.eval()
    else:
        network = _rebuild_from_onnx(model)
    _check_matches_onnx(network, model)
    return network


def _rebuild_from_onnx(model: Path) -> Any:
    torch = require_torch()
    import onnx
    from onnx import numpy_helper

    from cgt.export.quantize import dequantized_weights
    from cgt.export.subpixel import is_subpixel_conv, undo_subpixel
    from cgt.trainer.config import GeneratorConfig
    from cgt.trainer.networks import build_generator

    graph = onnx.load(model).graph
    values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    values |= dequantized_weights(graph)
    for node in filter(is_subpixel_conv, graph.node):
        values |= {name: undo_subpixel(values[name]) for name in node.input[1:]}
    for node in graph.node:  # a quantized kernel lost the name that its bias still has
        if node.op_type == "Conv" and len(node.input) == 3:
            values[f"{node.input[2].removesuffix('bias')}weight"] = values[node.input[1]]
    weights = {name: torch.from_numpy(value.copy()) for name, value in values.items()}
    try:
        network = build_generator(GeneratorConfig(**read_model_metadata(model).architecture))
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"PyTorch has no network for {model.name}; give --ckpt ({error})"
        ) from None
    return network.eval()


def _check_matches_onnx(network: Any, model: Path) -> None:
    torch = require_torch()
    inputs = ModelInputs(model, (64, 64))
    is_int8 = read_model_metadata(model).precision.startswith("int8")
    with open_engine(model, inputs.shape, "auto", "latency", "fp32") as engine:
        inputs.infer(engine)
    with torch.inference_mode():
        errors = np.abs(network(torch.from_numpy(inputs.batch)).numpy() - inputs.out)
    error = np.sqrt(np.mean(errors**2)) if is_int8 else errors.max()
    if not error < (MAX_INT8_RMSE if is_int8 else MAX_ERROR):
        raise ModelError(f"PyTorch's network differs from {model.name} by {error:.1e}")
