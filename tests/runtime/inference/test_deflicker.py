"""Flicker reduction, measured by the warping error, and resets at scene changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cgt.runtime import Translator
from cgt.runtime.image.preprocess import to_yuv
from cgt.runtime.inference.deflicker import FlowSmoother, SceneDetector, StatisticsSmoother
from cgt.runtime.inference.optical_flow import (
    OpticalFlow,
    WarpingErrorMeter,
    visibility_mask,
    warping_error,
)


def texture(seed: int = 0, size: int = 160) -> np.ndarray:
    """Return smooth noise that optical flow can follow, uint8 HWC."""
    from cgt.runtime.image.preprocess import resize

    small = np.random.default_rng(seed).integers(30, 226, (size // 8, size // 8, 3), np.uint8)
    return resize(small, (size, size), "bicubic")


def moving(count: int = 8) -> Iterator[np.ndarray]:
    """Simulate a camera that pans by two pixels per frame."""
    whole = texture()
    for index in range(count):
        yield np.ascontiguousarray(whole[16:112, 2 * index : 2 * index + 128])


def flickering(image: np.ndarray, index: int) -> np.ndarray:
    """Simulate a network whose brightness jumps from frame to frame."""
    return np.clip(image.astype(int) + (index % 2) * 24 - 12, 0, 255).astype(np.uint8)


# ---- Warping error ------------------------------------------------------------------------------


def test_flow_finds_the_movement() -> None:
    first, second = (frame[..., 1].copy() for frame in moving(2))
    flow = OpticalFlow()
    back = flow.backward_flow(first, second)
    assert np.abs(back[16:-16, 16:-16] - (2, 0)).mean() < 0.2
    assert (
        visibility_mask(flow, back, flow.backward_flow(second, first))[16:-16, 16:-16].mean() > 0.9
    )


def test_the_warping_error_sees_flicker_and_not_movement() -> None:
    steady, flicker = WarpingErrorMeter(), WarpingErrorMeter()
    for index, frame in enumerate(moving()):
        steady.update(frame, frame)
        flicker.update(frame, flickering(frame, index))
    assert steady.mean < 1e-4
    assert flicker.mean == pytest.approx((24 / 255) ** 2, rel=0.1)


def test_occluded_pixels_do_not_count() -> None:
    first, second = list(moving(2))
    wrong = second.copy()
    second[30:70, 40:90] = texture(5)[:40, :50]  # becomes visible
    wrong[30:70, 40:90] = 255 - second[30:70, 40:90]
    assert warping_error(OpticalFlow(), first, second, first, wrong) < 0.02


# ---- Flow ---------------------------------------------------------------------------------------


def test_flow_smoothing_reduces_flicker() -> None:
    errors = {}
    for weight in (0.0, 0.5, 0.8):
        smoother, error = FlowSmoother(weight), WarpingErrorMeter()
        for index, frame in enumerate(moving(12)):
            error.update(frame, smoother(frame, flickering(frame, index)))
        errors[weight] = error.mean
    assert errors[0.8] < errors[0.5] < 0.5 * errors[0.0]


def test_flow_smoothing_stops_at_a_scene_change() -> None:
    smoother = FlowSmoother(0.9)
    before, after = texture(1), 255 - texture(1) // 2
    smoother(before, before)
    np.testing.assert_array_equal(smoother(after, after), after)


def test_flow_smoothing_with_an_output_of_another_size() -> None:
    smoother = FlowSmoother(0.5)
    for frame in moving(3):
        small = np.ascontiguousarray(frame[::2, ::2])
        assert smoother(frame, small).shape == small.shape


# ---- Scenes -------------------------------------------------------------------------------------


def test_scene_states() -> None:
    detector = SceneDetector()
    black = np.zeros((96, 128, 3), np.uint8)
    frames = list(moving(3))
    assert [detector.classify(image) for image in (black, black, *frames)] == [
        *("blank", "blank", "new", "same", "same")
    ]
    assert detector.classify(black) == "blank"
    assert detector.classify(frames[2]) == "same"
    assert detector.classify(255 - frames[2]) == "new"


def test_a_fade_in_is_new_until_it_ends() -> None:
    detector = SceneDetector()
    image = texture()
    fade = [detector.classify((image * (i / 10)).astype(np.uint8)) for i in range(1, 11)]
    assert fade[:2] == ["blank", "new"]
    assert fade.count("new") >= 4  # statistics of dark frames are dropped
    assert [detector.classify(image) for _ in range(2)] == ["same", "same"]


@pytest.mark.parametrize("full_range", [False, True])
def test_frames_in_yuv_are_classified_like_rgb(full_range: bool) -> None:
    """Luma of limited range has 14 % less contrast than gray levels."""
    image = texture()

    def fade(contrast: float) -> np.ndarray:
        return (128 + (image - 128.0) * contrast).astype(np.uint8)

    contrasts = np.arange(0.02, 1, 0.002)
    least = next(c for c in contrasts if SceneDetector().classify(fade(c)) != "blank")
    faint = fade(1.06 * least)
    frames = [image * 0, faint, image, image, 255 - image, *moving(3)]
    in_rgb, in_yuv = SceneDetector(), SceneDetector()
    assert [in_yuv.classify(to_yuv(frame, full_range=full_range)) for frame in frames] == [
        in_rgb.classify(frame) for frame in frames
    ]


# ---- Statistics ---------------------------------------------------------------------------------


def run_step(smoother: StatisticsSmoother, image: np.ndarray, own: float) -> np.ndarray:
    """Simulate a network with one statistic; return its statistics input."""
    statistics_in = np.full((1, 2), np.nan, np.float32)
    smoother.fill(image, statistics_in)
    weight = statistics_in[0, 0]
    mixed = weight * statistics_in[0, 1] + (1 - weight) * own
    smoother.update(np.array([[weight, mixed]], np.float32))
    return statistics_in[0]


def test_statistics_are_smoothed_and_reset_at_cuts() -> None:
    smoother, image = StatisticsSmoother(0.75), texture()
    assert run_step(smoother, image, 4.0)[0] == 0.0
    np.testing.assert_allclose(run_step(smoother, image, 8.0), [0.75, 4.0])
    np.testing.assert_allclose(run_step(smoother, image, 8.0), [0.75, 5.0])
    assert run_step(smoother, 255 - image, 1.0)[0] == 0.0
    np.testing.assert_allclose(run_step(smoother, 255 - image, 1.0), [0.75, 1.0])


def test_blank_frames_use_the_past_and_are_not_remembered() -> None:
    smoother, image = StatisticsSmoother(0.5), texture()
    black = np.zeros_like(image)
    assert run_step(smoother, black, 0.0)[0] == 0.0  # no past yet
    assert run_step(smoother, image, 4.0)[0] == 0.0  # starts from the first real frame
    np.testing.assert_allclose(run_step(smoother, black, 0.0), [1.0, 4.0])
    np.testing.assert_allclose(run_step(smoother, image, 4.0), [0.5, 4.0])


def test_a_stream_network_without_deflicker_is_instance_normalization(stream_model: Path) -> None:
    image = texture(2, 64)
    values = image.astype(np.float64) / 127.5 - 1
    normal = (values - values.mean((0, 1))) / np.sqrt(values.var((0, 1)) + 1e-5) / 4
    expected = np.clip(np.rint((normal + 1) * 127.5), 0, 255)
    with Translator(stream_model, size="source", frame_size=(64, 64)) as translator:
        assert translator.deflicker_mode == ""
        for _ in range(2):
            assert np.abs(translator(image) - expected).max() <= 2


def test_a_stream_network_with_deflicker_adapts_slowly(stream_model: Path) -> None:
    """Step the brightness of the input by 20.

    Instance normalization removes it at once; with smoothing it fades out.
    """
    first = (texture(2, 64) // 2 + 30).astype(np.uint8)
    second = (first + 20).astype(np.uint8)
    outs = {}
    for weight in (0.0, 0.8):
        with Translator(
            stream_model, size="source", frame_size=(64, 64), deflicker=weight
        ) as translator:
            assert translator.workers == 1 or not weight
            assert translator.deflicker_mode == ("statistics" if weight else "")
            outs[weight] = [translator(image).mean() for image in (first, second, *[second] * 30)]
    assert abs(outs[0.0][1] - outs[0.0][0]) < 1
    assert outs[0.8][1] - outs[0.8][0] > 8
    assert abs(outs[0.8][-1] - outs[0.0][-1]) < 1


def test_any_other_network_uses_flow_smoothing(tiny_model: Path) -> None:
    with Translator(tiny_model, size="source", frame_size=(96, 128), deflicker=0.5) as translator:
        assert translator.deflicker_mode == "flow"
        first, second = (translator(frame) for frame in moving(2))
    assert first.shape == second.shape == (96, 128, 3)
