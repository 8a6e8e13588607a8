"""INT8 in OpenVINO on CPUs whose 16-bit sums saturate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from cgt.runtime.engines.openvino_cpu import int8_saturates, requantize_to_7_bits
from cgt.runtime.image.metrics import psnr
from cgt.runtime.inference.translator import Translator, resolve_model
from cgt.runtime.utils.system import cpu_flags
from cgt.trainer.data.synthetic import dead_leaves


def weights_of(model: ov.Model) -> list[np.ndarray]:
    constants = (op for op in model.get_ordered_ops() if op.get_type_name() == "Constant")
    return [
        op.data for op in constants if op.get_element_type() == ov.Type.i8 and len(op.shape) >= 4
    ]


@pytest.mark.parametrize("name", ["vintage", "monet"])
def test_both_engines_give_the_same_image(name: str) -> None:
    """With saturation, the outputs of vintage differed by 27 dB."""
    image = dead_leaves((256, 256), np.random.default_rng(0))
    first, second = (
        Translator(resolve_model(name), engine=engine, size="source")(image)
        for engine in ("openvino", "onnxruntime")
    )
    assert psnr(first, second) > 36


def test_saturation_agrees_with_the_cpu_flags() -> None:
    vnni = cpu_flags() & {"avx512_vnni", "avx_vnni", "amx_int8"}
    assert int8_saturates() == ("avx2" in cpu_flags() and not vnni)


def test_weights_lose_one_bit_and_keep_their_scale(tmp_path: Path) -> None:
    """Requantize an ONNX file and OpenVINO's pair of files."""
    core = ov.Core()
    model = core.read_model(resolve_model("vintage"))
    ov.save_model(model, tmp_path / "model.xml")
    for graph in (model, core.read_model(tmp_path / "model.xml")):
        before = weights_of(graph)
        requantize_to_7_bits(graph)
        after = weights_of(graph)
        assert len(before) == len(after) == 22
        for old, new in zip(before, after, strict=True):
            assert abs(old).max() == 127
            assert abs(new).max() == 64
            assert abs(2.0 * new - old).max() <= 1
