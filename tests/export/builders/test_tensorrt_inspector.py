"""Layer tables of EngineInspector in the forms that TensorRT prints, written by hand.

A precision is read or counts as unverified; only one that was read can refuse an engine.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from cgt.export.builders.tensorrt_inspector import (
    ExpectedConvolution,
    parse_inspector_json,
    verify_precisions,
)
from cgt.runtime.errors import QualityError

XMMA = "sm80_xmma_fprop_implicit_gemm_"
NO_SHAPES = "N/A due to dynamic shapes"


def tensor(kind: str, *sides: int) -> dict[str, Any]:
    return {"Name": "x", "Dimensions": list(sides), "Format/Datatype": kind}


def cask(tactic: str = "", **values: Any) -> dict[str, Any]:
    """Return a convolution of TensorRT 8: no ONNX nodes but the name."""
    return {
        "Name": "conv1 + relu1",
        "LayerType": "CaskConvolution",
        "Inputs": [tensor(NO_SHAPES, -1, 64, -1, -1)],
        "Outputs": [tensor(NO_SHAPES, -1, 64, -1, -1)],
        "ParameterType": "Convolution",
        "TacticName": tactic,
    } | values


def myelin(kind: str = "kgen", tactic: str = "", **values: Any) -> dict[str, Any]:
    """Return a layer of TensorRT 10 with its ONNX nodes."""
    return {
        "Name": "__myl_ConvAdd_myl0_7",
        "LayerType": kind,
        "Inputs": [tensor(NO_SHAPES, -1, 64, -1, -1)],
        "Outputs": [],
        "TacticName": tactic,
        "Metadata": "[ONNX Layer: pad0]\u001e[ONNX Layer: conv1]",
    } | values


UNVERIFIED = {
    "kgen without constants": myelin(),
    "kgen with a fused name": myelin(tactic="__myl_MeaSubMulMeaAddSqrDiv_0x1f16f16ab"),
    "a cast before it": myelin(tactic="__myl_Cast_f32f16_f16f16"),
    "no details": "conv1",
    "dynamic shapes": myelin("correlation", Constants=[tensor(NO_SHAPES, 64, 64, 3, 3)]),
    "constants of another type": myelin(
        Constants=[{"Name": "w", "Dimensions": [64, 64, 3, 3], "Datatype": "FP8"}]
    ),
    "weights without a type": cask(Weights={"Type": "", "Count": 0}),
    "a tile in the name of the kernel": cask("ampere_sgemm_128x64_sliced1x2_ldg8_relu"),
    "an accelerator": {
        "Name": "{ForeignNode[conv1...conv2]}",
        "LayerType": "DLA",
        "Inputs": [tensor("Channel major FP16 format where channel % 16 == 0", 1, 3, 64, 64)],
        "Outputs": [tensor("Channel major FP16 format where channel % 16 == 0", 1, 3, 64, 64)],
    },
    "another layer": myelin(Metadata="[ONNX Layer: conv2]", Weights={"Type": "Half"}),
}


@pytest.mark.parametrize("layer", UNVERIFIED.values(), ids=UNVERIFIED)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_unknown_precision_is_unverified(layer: Any, precision: str) -> None:
    layers = parse_inspector_json(json.dumps({"Layers": [layer], "Bindings": ["image"]}))
    expected = [ExpectedConvolution("conv1", (3, 3), precision)]
    assert verify_precisions(layers, expected, "it") == {"unverified": 1}


READ = {
    "weights": (cask(Weights={"Type": "Half", "Count": 36864}), "fp16"),
    "weights of a fused layer": (
        cask(LayerType="ConvActPool", ConvWeights={"Type": "Int8", "Count": 9408}),
        "int8",
    ),
    "fp16 kernel": (cask(XMMA + "f16f16_f16f16_f16_nhwckrsc_nhwc_tilesize128x128x32"), "fp16"),
    "fp16 sums in fp32": (myelin("gemm", XMMA + "f16f16_f16f32_f32_nhwckrsc_nhwc"), "fp16"),
    "bf16 kernel": (myelin("gemm", XMMA + "bf16bf16_bf16f32_f32_nhwckrsc_nhwc"), "bf16"),
    "int8 kernel": (myelin("gemm", XMMA + "interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs"), "int8"),
    "int8 kernel with FP16 output": (cask(XMMA + "i8f16_i8i32_f32_nhwckrsc_nhwc"), "int8"),
    "short name of a kernel": (cask("sm72_conv1x1_i8f32_f32_nhwc"), "int8"),
    "fp32 kernel": (cask(XMMA + "f32f32_f32f32_f32_nhwckrsc_nhwc"), "fp32"),
    "tf32 kernel": (cask(XMMA + "f32f32_tf32f32_f32_nhwckrsc_nhwc"), "tf32"),
    "tf32 kernel of fp32 weights": (
        cask(XMMA + "f32f32_tf32f32_f32_nhwckrsc_nhwc", Weights={"Type": "Float", "Count": 9}),
        "tf32",
    ),
    "constants": (
        myelin(
            "correlation",
            Inputs=[tensor("Row major linear FP16 format", 1, 64, 66, 66)],
            Constants=[{"Name": "w", "Dimensions": [64, 64, 3, 3], "Datatype": "Half"}],
        ),
        "fp16",
    ),
}


@pytest.mark.parametrize(("layer", "precision"), READ.values(), ids=READ)
def test_a_precision_that_was_read_is_verified(layer: dict[str, Any], precision: str) -> None:
    layers = parse_inspector_json(json.dumps({"Layers": [myelin(Metadata=""), layer]}))
    for wanted in ("fp32", "fp16", "bf16", "int8"):
        expected = [ExpectedConvolution("conv1", (3, 3), wanted)]
        if wanted == precision:
            assert verify_precisions(layers, expected, "it") == {precision: 1}
        else:
            with pytest.raises(QualityError, match=f" is {precision} and not {wanted}"):
                verify_precisions(layers, expected, "it")


def test_unverified_convolutions_do_not_hide_a_mismatch() -> None:
    layers = parse_inspector_json(
        json.dumps({"Layers": [myelin(), cask(Name="conv2", Weights={"Type": "Float"})]})
    )
    expected = [ExpectedConvolution(name, (3, 3), "fp16") for name in ("conv1", "conv2")]
    with pytest.raises(QualityError, match=r"precisions: conv2 is fp32 and not fp16; nothing"):
        verify_precisions(layers, expected, "it")
