"""Layer drift: where in the network an exported model deviates from its original."""

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
    """Drift of one convolution's output, including a norm that was folded into it."""

    layer: str
    snr_db: float  # signal-to-noise ratio: energy of the original to that of the difference


def measure_layer_drift(
    model: onnx.ModelProto,
    network: nn.Module,
    image: F32,
    inputs: tuple[_Array, ...],
    reference_engine: str,
) -> list[LayerDrift]:
    """Compare each convolution's output with the original's on one image.

    Args:
        model: Exported model.
        network: Original network in FP32.
        image: float32 (C, H, W) in [-1, 1].
        inputs: The same image as the model takes it, repeated for its batch, and statistics.
        reference_engine: "onnxruntime" or "openvino".

    Returns:
        The drift of each layer in the order of the graph.
    """
    # The output of a rewritten convolution (see subpixel.py) is compared after its DepthToSpace.
    rearranged = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "DepthToSpace"}
    layers = {
        n.name: rearranged.get(n.output[0], n.output[0])
        for n in model.graph.node
        if n.op_type in CONV_OPS
    }
    exported = _run_with_intermediates(model, list(layers.values()), inputs, reference_engine)
    originals = _reference_outputs(network, image)
    drifts = []
    for (name, _), values in zip(layers.items(), exported, strict=True):
        # The exported layer may include the norm behind the convolution: take the closer one.
        candidates = [v for v in originals.get(name, ()) if v.shape[1:] == values.shape[1:]]
        if not candidates:  # a convolution that is no module, or runs several times
            continue
        drifts.append(LayerDrift(name, max(_snr_db(original, values) for original in candidates)))
    return drifts


def _reference_outputs(network: nn.Module, image: F32) -> dict[str, list[_Array]]:
    """Return, for each convolution, its output and that of the module that ran next."""
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
    """Return tensors inside a model as an engine computes them."""
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
    """Return the drifts as lines of text."""
    width = max((len(drift.layer) for drift in drifts), default=5)
    return [f"{'layer':{width}}  signal-to-drift ratio, dB"] + [
        f"{drift.layer:{width}}  {drift.snr_db:6.1f}" for drift in drifts
    ]


def worst_layers(drifts: list[LayerDrift], count: int = 3) -> str:
    """Describe the layers with the largest drift."""
    worst = sorted(drifts, key=lambda drift: drift.snr_db)[:count]
    return ", ".join(f"{drift.layer} ({drift.snr_db:.1f} dB)" for drift in worst)


def render_chart(drifts: list[LayerDrift], title: str) -> NDArray[np.uint8]:
    """Return a bar chart of the layers, uint8 HWC RGB."""
    # Pixels: height of a row, width of the names, width of a decibel.
    row, left, scale = 22, 260, 5
    height, width = row * (len(drifts) + 2), left + 120 * scale + 60
    image = np.full((height, width, 3), 255, np.uint8)

    def write(text: str, x: int, y: int) -> None:
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)

    write(title, 8, row - 6)
    for index, drift in enumerate(drifts, 1):
        y = row * index
        length = int(np.clip(drift.snr_db, 0, 120) * scale)
        cv2.rectangle(image, (left, y + 4), (left + length, y + row - 4), (70, 120, 180), -1)
        write(drift.layer[-30:], 8, y + row - 7)
        write(f"{drift.snr_db:.1f}", left + length + 6, y + row - 7)
    write("signal-to-drift ratio, dB", left, row * (len(drifts) + 1) + row - 8)
    return image
