"""HDR to SDR: PQ and HLG frames (ITU-R BT.2100) as sRGB in the primaries of BT.709.

Reference white (203 nits, ITU-R BT.2408) becomes SDR white. Brighter light, up to the 1000 nits of
common masters, is compressed into the last tenth of the codes; below that colors are exact. The
mapping is fixed, because one that follows the content of a frame flickers. FFmpeg interpolates it
in a 3D LUT.
"""

from __future__ import annotations

import tempfile
import threading
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

F64 = NDArray[np.float64]

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273
HDR_NAMES = {PQ: "PQ", HLG: "HLG"}
BT2020_MATRIX = 9
REFERENCE_WHITE_NITS = 203.0
_PEAK_NITS = 1000.0  # also the nominal peak of HLG
_KNEE = 0.8  # share of reference white from which light is compressed
_LUT_SIDE = 33  # points per axis, as colorists use; the error is below that of 8 bits
_BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ]
)
_thread_local = threading.local()


def tone_map(
    frame: av.VideoFrame, reformatter: VideoReformatter, matrix: int | None
) -> av.VideoFrame:
    """Convert a PQ or HLG frame to SDR.

    Args:
        frame: A decoded frame whose transfer characteristic is PQ or HLG.
        reformatter: The converter to RGB.
        matrix: The YUV matrix of the frame by swscale's number; None for the one of its tag.

    Returns:
        A frame of 16-bit planar RGB.
    """
    rgb = reformatter.reformat(frame, format="gbrp16le", src_colorspace=matrix, threads=1)
    key = int(frame.color_trc), frame.width, frame.height
    if getattr(_thread_local, "key", None) != key:
        _thread_local.graph, _thread_local.key = _make_lut_graph(*key), key
    _thread_local.graph.push(rgb)
    mapped = _thread_local.graph.pull()
    assert isinstance(mapped, av.VideoFrame)
    return mapped


def _make_lut_graph(transfer: int, width: int, height: int) -> Any:
    axis = np.linspace(0, 1, _LUT_SIDE)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red varies fastest in a file
    lut = hdr_to_srgb(np.stack([red, green, blue], axis=-1).reshape(-1, 3), transfer)
    with tempfile.NamedTemporaryFile("w", suffix=".cube") as file:
        file.write(f"LUT_3D_SIZE {_LUT_SIDE}\n")
        file.writelines(f"{r:.6f} {g:.6f} {b:.6f}\n" for r, g, b in lut.tolist())
        file.flush()
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(
                width=width,
                height=height,
                format=av.VideoFormat("gbrp16le", width, height),
                time_base=Fraction(1, 1000),
            ),
            graph.add("lut3d", file=file.name, interp="tetrahedral"),
            graph.add("buffersink"),
        ).configure()
    return graph


def hdr_to_srgb(signal: F64, transfer: int) -> F64:
    """Convert an HDR signal in the primaries of BT.2020 to sRGB.

    Args:
        signal: R'G'B' in [0, 1], in the last axis.
        transfer: PQ or HLG.

    Returns:
        R'G'B' in [0, 1].
    """
    nits = _pq_to_nits(signal) if transfer == PQ else _hlg_to_nits(signal)
    light = nits / REFERENCE_WHITE_NITS @ _BT2020_TO_BT709.T
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    light = np.clip(light * (_compress(brightest) / brightest), 0, 1)  # one factor keeps the hue
    encoded = 1.055 * light ** (1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, encoded))


def _compress(light: F64) -> F64:
    """Compress light above the knee so that the peak becomes 1 (extended Reinhard curve)."""
    peak = (_PEAK_NITS / REFERENCE_WHITE_NITS - _KNEE) / (1 - _KNEE)
    excess = np.clip((light - _KNEE) / (1 - _KNEE), 0, peak)
    return np.minimum(light, _KNEE) + (1 - _KNEE) * excess * (1 + excess / peak**2) / (1 + excess)


def _pq_to_nits(signal: F64) -> F64:
    """Apply the EOTF of SMPTE ST 2084."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    return np.asarray(10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _hlg_to_nits(signal: F64) -> F64:
    """Apply the inverse OETF and the OOTF of a display with the nominal peak (ARIB STD-B67)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([[0.2627], [0.6780], [0.0593]])
    return np.asarray(_PEAK_NITS * luminance**0.2 * scene)
