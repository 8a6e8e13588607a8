"""INT8 in OpenVINO is right on CPUs whose own multiplications are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from cgt.runtime.engines.openvino_cpu import int8_saturates, requantize_to_7_bits
from cgt.runtime.image.metrics import psnr
from cgt.runtime.inference.translator import Translator, resolve_model
from cgt.trainer.data.synthetic import dead_leaves

CPU = Path("/proc/cpuinfo")
FLAGS = set(CPU.read_text().split()) if CPU.exists() else set()


def weights_of(model: ov.Model) -> list[np.ndarray]:
    constants = (op for op in model.get_ordered_ops() if op.get_type_name() == "Constant")
    return [
        op.data for op in constants if op.get_element_type() == ov.Type.i8 and len(op.shape) >= 4
    ]


@pytest.mark.parametrize("name", ["vintage", "monet"])
def test_both_engines_make_the_same_picture(name: str) -> None:
    """Cut off, vintage's were 27 dB apart."""
    image = dead_leaves((256, 256), np.random.default_rng(0))
    one, other = (
        Translator(resolve_model(name), engine=engine, size="source")(image)
        for engine in ("openvino", "onnxruntime")
    )
    assert psnr(one, other) > 36


def test_what_is_tried_is_what_the_cpu_says() -> None:
    vnni = FLAGS & {"avx512_vnni", "avx_vnni", "amx_int8"}
    assert int8_saturates() == ("avx2" in FLAGS and not vnni)


def test_weights_lose_a_bit_and_keep_their_size(tmp_path: Path) -> None:
    """In an ONNX file, and in OpenVINO's own pair of files."""
    core = ov.Core()
    model = core.read_model(resolve_model("vintage"))
    ov.save_model(model, tmp_path / "own.xml")
    for kind in (model, core.read_model(tmp_path / "own.xml")):
        before = weights_of(kind)
        requantize_to_7_bits(kind)
        after = weights_of(kind)
        assert len(before) == len(after) == 22
        for old, new in zip(before, after, strict=True):
            assert abs(old).max() == 127
            assert abs(new).max() == 64
            assert abs(2.0 * new - old).max() <= 1
