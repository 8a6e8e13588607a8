"""Multiply-adds against PyTorch's own counter, bytes against sums by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgt.benchmarks.analysis.peaks import make_conv_model
from cgt.export.verify.macs import count_layer_costs, total_macs
from cgt.runtime.errors import ModelError

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")


def flop_counter_macs(network: torch.nn.Module, batch: int, size: tuple[int, int]) -> int:
    """Return the multiply-adds that PyTorch counts without computing anything."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network.to("meta")(torch.empty(batch, 3, *size, device="meta"))
    return counter.get_total_flops() // 2


def resnet(upsampling: str) -> torch.nn.Module:
    from cgt.trainer.networks import ResnetGenerator
    from cgt.trainer.networks.config import GeneratorConfig

    return ResnetGenerator(GeneratorConfig("resnet1", 4, upsampling=upsampling))


def unusual_layers() -> torch.nn.Module:
    """Return groups, depthwise layers, dilation and several transposed convolutions."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=2, dilation=2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 12, 1, groups=4),
        nn.ConvTranspose2d(12, 6, 4, stride=2, padding=1, groups=2),
        nn.Conv2d(6, 6, 5, stride=2, padding=2),
        nn.ConvTranspose2d(6, 3, 3, padding=1),
    )


NETWORKS = {
    "transposed": lambda: resnet("transposed"),
    "resize": lambda: resnet("resize"),
    "unusual": unusual_layers,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_macs_match_the_flop_counter(kind: str, tmp_path: Path) -> None:
    from cgt.export.graph.trace import trace

    onnx.save(trace(NETWORKS[kind]()), tmp_path / "net.onnx")
    for batch, size in ((1, (64, 64)), (2, (32, 96))):
        counted = count_layer_costs(tmp_path / "net.onnx", size, batch)
        assert total_macs(counted) == flop_counter_macs(NETWORKS[kind](), batch, size) > 0


def test_bytes_of_one_convolution(tmp_path: Path) -> None:
    """A 3x3 convolution at 8x8 with three channels: 192 elements in, 192 out, 81 weights."""
    weights, image = 3 * 3 * 3 * 3, 3 * 8 * 8
    for precision in ("fp32", "int8"):
        path = tmp_path / f"{precision}.onnx"
        path.write_bytes(make_conv_model(3, 3, precision))
        (layer,) = count_layer_costs(path, (8, 8))
        assert layer.macs == 64 * weights
        assert layer.quantized == (precision == "int8")
        if precision == "fp32":
            assert (layer.float_elements, layer.int8_bytes) == (2 * image + weights, 0)
            assert layer.bytes_moved(2) == 2 * (2 * image + weights)
        else:
            assert (layer.float_elements, layer.int8_bytes) == (image, image + weights)
            assert layer.bytes_moved(4) == 4 * image + image + weights


def test_uncountable_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="not an ONNX model"):
        count_layer_costs(tmp_path / "text.onnx", (64, 64))


def test_both_forms_of_a_norm_move_the_same_bytes(tmp_path: Path) -> None:
    """A norm reads an image for its statistics, and again or in the next layer to apply them."""
    from cgt.export.graph.reduced_precision import ReducedPrecision
    from cgt.export.graph.trace import trace

    elements = {}
    for norm_precision in ("fp32", "mixed"):
        path = tmp_path / f"{norm_precision}.onnx"
        network = ReducedPrecision(resnet("transposed"), norm_precision=norm_precision)
        onnx.save(trace(network), path)
        layers = count_layer_costs(path, (64, 64))
        elements[norm_precision] = sum(layer.float_elements for layer in layers)
    assert elements["mixed"] == pytest.approx(elements["fp32"], rel=0.02)
