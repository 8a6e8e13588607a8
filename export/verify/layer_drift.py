"""Where in a network an exported model leaves its original: layer by layer, on real frames."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgt.runtime.image.opencv import cv2
from cgt.runtime.image.preprocess import F32

from ..graph.trace import CONV_OPS
from ..quantization.hooks import record_activations

_Array = NDArray[Any]


@dataclass(frozen=True)
class LayerDrift:
    """Of one convolution's output, with the norm that was folded into it."""

    layer: str
    snr_db: float  # energy of the original's values to that of the difference


def measure_layer_drift(
    model: onnx.ModelProto,
    network: nn.Module,
    image: F32,
    inputs: tuple[_Array, ...],
    reference_engine: str,
) -> list[LayerDrift]:
    """network: the original, in FP32. frame: float32 C,H,W. inputs: the same as the model takes it,
    as often as its batch is large. In the order of the graph."""
    # What was computed in squares, see subpixel.py, is looked at when it is laid out.
    laid_out = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "DepthToSpace"}
    layers = {
        n.name: laid_out.get(n.output[0], n.output[0])
        for n in model.graph.node
        if n.op_type in CONV_OPS
    }
    exported = _run_with_intermediates(model, list(layers.values()), inputs, reference_engine)
    originals = _reference_outputs(network, image)
    drifts = []
    for (name, _), values in zip(layers.items(), exported, strict=True):
        candidates = [v for v in originals[name] if v.shape[1:] == values.shape[1:]]
        # What the exported layer gives is the convolution, or the norm behind it: the nearer one.
        drifts.append(LayerDrift(name, max(_snr_db(original, values) for original in candidates)))
    return drifts


def _reference_outputs(network: nn.Module, image: F32) -> dict[str, list[_Array]]:
    """For each convolution its output, and that of the module that ran next."""
    outputs: dict[str, list[_Array]] = {}
    last: list[str] = []

    def record(name: str, module: nn.Module, _: Tensor, out: Tensor) -> None:
        if last:
            outputs[last.pop()].append(out.numpy().copy())
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            outputs[name] = [out.numpy().copy()]
            last.append(name)

    with record_activations(network, nn.Module, record), torch.no_grad():
        network(torch.from_numpy(image[None]))
    return outputs


def _snr_db(original: _Array, values: _Array) -> float:
    difference = values.astype(np.float64) - original
    energy, noise = float(np.mean(original.astype(np.float64) ** 2)), float(np.mean(difference**2))
    if not np.isfinite(noise):
        return -200.0
    return float(np.clip(10 * np.log10(max(energy, 1e-20) / max(noise, 1e-20)), -200, 200))


def _run_with_intermediates(
    model: onnx.ModelProto, names: list[str], inputs: tuple[_Array, ...], reference_engine: str
) -> list[_Array]:
    """Tensors inside of a model, as an engine computes them."""
    opened = copy.deepcopy(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    data, inputs_by_name = (
        opened.SerializeToString(),
        dict(zip(_input_names(model), inputs, strict=True)),
    )
    if reference_engine == "onnxruntime":
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return list(session.run(names, inputs_by_name))
    import openvino as ov

    from cgt.runtime.engines.openvino_cpu import avoid_int8_saturation

    core = ov.Core()
    network = core.read_model(data)
    avoid_int8_saturation(network)
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(inputs_by_name)
    return [
        np.asarray(results[compiled.output(len(model.graph.output) + i)]) for i in range(len(names))
    ]


def _input_names(model: onnx.ModelProto) -> list[str]:
    return [value.name for value in model.graph.input]


def format_table(drifts: list[LayerDrift]) -> list[str]:
    """Lines of text."""
    width = max(len(drift.layer) for drift in drifts)
    return [f"{'layer':{width}}  signal to drift, dB"] + [
        f"{drift.layer:{width}}  {drift.snr_db:6.1f}" for drift in drifts
    ]


def worst_layers(drifts: list[LayerDrift], count: int = 3) -> str:
    """The layers that drift most, in words."""
    worst = sorted(drifts, key=lambda drift: drift.snr_db)[:count]
    return ", ".join(f"{drift.layer} ({drift.snr_db:.1f} dB)" for drift in worst)


def render_chart(drifts: list[LayerDrift], title: str) -> NDArray[np.uint8]:
    """A picture, uint8 HWC RGB: a bar for each layer."""
    row, left, scale = 22, 260, 5  # pixels: of a layer, of the names, of a decibel
    height, width = row * (len(drifts) + 2), left + 120 * scale + 60
    image = np.full((height, width, 3), 255, np.uint8)

    def write(text: str, x: int, y: int) -> None:
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)

    write(title, 8, row - 6)
    for index, drift in enumerate(drifts, 1):
        y = row * index
        shown = int(np.clip(drift.snr_db, 0, 120) * scale)
        cv2.rectangle(image, (left, y + 4), (left + shown, y + row - 4), (70, 120, 180), -1)
        write(drift.layer[-30:], 8, y + row - 7)
        write(f"{drift.snr_db:.1f}", left + shown + 6, y + row - 7)
    write("dB, signal to drift", left, row * (len(drifts) + 1) + row - 8)
    return image
