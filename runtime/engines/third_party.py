"""Adapter for models of other tools: converts tensors, and detects the range of their values.

Nothing in a model says whether black is -1 or 0 and white 1 or 255. If the user does not say it,
the model translates an image with the statistics of a photo (1/f spectrum) in each range. The right
range is the one whose output resembles the input most: with a wrong one, a translation loses
contrast, is cut off at black or white, or is of one color. The range of the output follows from its
values. Some models give equal images for several ranges, because they normalize their input.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ..errors import CgtError, EngineError, ModelError
from ..image.preprocess import F32
from ..models.sidecar import ENGINE_SUFFIXES, sidecar_path
from ..models.third_party import (
    VALUE_RANGES,
    TensorFormat,
    ThirdPartyTensors,
    ValueRange,
    check_range,
)
from ..utils.cache import JsonCache, cached_sha256, short_hash
from ..utils.log import warn_user_once
from .base import Array, BatchShape, Engine, NetworkArray

_TRIED_RANGES: tuple[ValueRange, ...] = ("-1..1", "0..1", "0..255")
_MIN_CONTRAST = 0.5  # standard deviation, in levels of 255, of an image that is not flat
_MAX_CUT_OFF = 0.98  # share of values at black or white
_MAX_EQUAL_LEVELS = 3.0  # mean difference of images that count as equal
_MIN_LEAD = 0.1  # of the best score
_PERCENTILES = (1, 99)  # of outputs, that show their range


def adapt_engine(engine: Engine, model: Path | str, shape: BatchShape) -> Engine:
    """Return an engine that takes cgt's tensors for one that takes those of a third-party model.

    Args:
        engine: runs the model; it is closed if this fails.
        model: file or address of the model.
        shape: shapes of the tensors, as the engine was opened with.

    Returns:
        `engine` itself if there is nothing to convert.

    Raises:
        ModelError: the output is of one color in every range, or the model takes no batches.
        EngineError: the engine failed.
    """
    if shape.third_party is None:
        return engine
    try:
        if shape.batch_size > 1 and len(shape.third_party.input.layout) == 3:
            raise ModelError(f"{model} takes one image at a time, not {shape.batch_size}")
        tensors = _detect_ranges(engine, model, shape, shape.third_party)
    except CgtError:
        engine.close()
        raise
    return engine if tensors.is_plain else ThirdPartyEngine(engine, shape, tensors)


class ThirdPartyEngine(Engine):
    """An engine for cgt's tensors that runs a model with other tensors; it owns and closes both.

    Args:
        engine: runs the model on the arrays of `BatchShape.network_specs`.
        shape: shapes of the tensors.
        tensors: formats of the model's tensors, with their ranges.
    """

    def __init__(self, engine: Engine, shape: BatchShape, tensors: ThirdPartyTensors) -> None:
        self.name, self.device = engine.name, engine.device
        self.precision, self.workers = engine.precision, engine.workers
        self._engine, self._shape, self._tensors = engine, shape, tensors
        self._thread_local = threading.local()

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        local = self._thread_local
        if getattr(local, "shape", None) != batch.shape:
            local.shape = batch.shape
            local.arrays = _network_arrays(self._shape.with_size(*batch.shape[2:]))
        network_in, network_out = local.arrays
        self._tensors.input.encode(batch.view(np.float32), network_in)
        self._engine.infer(network_in, network_out)
        self._tensors.output.decode(network_out, out.view(np.float32))

    def close(self) -> None:
        self._engine.close()


def _network_arrays(shape: BatchShape) -> tuple[NetworkArray, NetworkArray]:
    (in_shape, in_dtype), (out_shape, out_dtype) = shape.network_specs
    return np.zeros(in_shape, in_dtype), np.zeros(out_shape, out_dtype)


@dataclass(frozen=True)
class _Trial:
    """The translation of the test image in one pair of ranges.

    Attributes:
        ranges: of input and output.
        image: the translation, float32 H,W in levels of 255: the mean of its color channels.
        contrast: its standard deviation in levels of 255.
        score: how much it resembles the test image, 0 to 1; 0 for one that is flat or cut off.
    """

    ranges: tuple[ValueRange, ValueRange]
    image: F32
    contrast: float
    score: float


def _detect_ranges(
    engine: Engine, model: Path | str, shape: BatchShape, tensors: ThirdPartyTensors
) -> ThirdPartyTensors:
    """Return the tensors with their ranges; print how they were found, and what sets them."""
    name = model.name if isinstance(model, Path) else model
    is_known = None not in (tensors.input.range, tensors.output.range)
    cache, key = JsonCache("ranges.json"), _cache_key(model, tensors)
    found = cache.get(key) if key else None
    if not _is_detection(found):
        found = _try_ranges(engine, shape, tensors, name)
        if key:
            cache.put(key, found)
    first, second, remark = check_range(found[0]), check_range(found[1]), str(found[2])
    if remark:
        warn_user_once(f"range of {model}", remark)
    elif not is_known:
        warn_user_once(
            f"range of {model}",
            f"{name} does not say its range of values; detected {first} in, {second} out "
            f"(--model-range {first}:{second})",
        )
    return replace(
        tensors,
        input=replace(tensors.input, range=first),
        output=replace(tensors.output, range=second),
    )


def _is_detection(cached: Any) -> TypeGuard[list[Any]]:
    """Return whether a value of the cache is the ranges of input and output, and a remark."""
    return (
        isinstance(cached, list)
        and len(cached) == 3
        and cached[0] in VALUE_RANGES
        and cached[1] in VALUE_RANGES
        and isinstance(cached[2], str)
    )


def _cache_key(model: Path | str, tensors: ThirdPartyTensors) -> str:
    """Return a key for the bytes of the model, or "" for a model on a server."""
    if not isinstance(model, Path) or not model.is_file():
        return ""
    file = sidecar_path(model) if model.suffix in ENGINE_SUFFIXES else model
    return short_hash(cached_sha256(file), tensors)


def _try_ranges(
    engine: Engine, shape: BatchShape, tensors: ThirdPartyTensors, name: str
) -> list[str]:
    """Return the ranges of input and output, and a remark on them, "" for none."""
    trials = _run_trials(engine, shape, tensors)
    best = max(trials, key=lambda trial: (trial.score, trial.contrast))
    is_known = None not in (tensors.input.range, tensors.output.range)
    is_flat = best.contrast < _MIN_CONTRAST
    if best.score == 0 and (is_flat or not is_known):
        tried = "" if is_known else f" in each range of values ({', '.join(_TRIED_RANGES)})"
        raise ModelError(
            f"{name} gives an image of {'one color' if is_flat else 'black and white only'}{tried};"
            " say what it takes with --model-range, --model-layout, --model-color and --model-input"
        )
    if is_known:
        remark = f"{name} gives images of black and white only; check --model-range"
        return [*best.ranges, remark if best.score == 0 else ""]
    rivals = [trial for trial in trials if trial.score > best.score * (1 - _MIN_LEAD)]
    different = [
        trial for trial in rivals if np.abs(trial.image - best.image).mean() > _MAX_EQUAL_LEVELS
    ]
    if different:
        others = " or ".join(":".join(trial.ranges) for trial in different)
        chosen = ":".join(best.ranges)
        return [
            *best.ranges,
            f"the range of values of {name} is ambiguous: taking {chosen}, but it may be "
            f"{others}; --model-range says which",
        ]
    # Of ranges that make no difference, equal ones for input and output are the most plausible.
    equal = [trial for trial in rivals if trial.ranges[0] == trial.ranges[1]]
    return [*(equal or [best])[0].ranges, ""]


def _run_trials(engine: Engine, shape: BatchShape, tensors: ThirdPartyTensors) -> list[_Trial]:
    if not shape.is_static:
        shape = shape.with_size(*engine.probe_size)
    network_in, network_out = _network_arrays(shape)
    batch_shape = shape.image_shape
    photo = _make_photo(*batch_shape[2:])
    rgba = np.concatenate([photo, np.ones_like(photo[:1])])
    image = photo.mean(0, keepdims=True) if batch_shape[1] == 1 else rgba[: batch_shape[1]]
    images = np.repeat(image[None], batch_shape[0], axis=0)
    out = np.empty(shape.output_shape, np.float32)
    trials: list[_Trial] = []
    for in_range in _ranges_of(tensors.input):
        replace(tensors.input, range=in_range).encode(images, network_in)
        try:
            engine.infer(network_in, network_out)
        except EngineError as error:
            raise ModelError(f"the model does not translate images: {error}") from None
        values = network_out.astype(np.float32)
        out_range = tensors.output.range or _range_of_values(values)
        replace(tensors.output, range=out_range).decode(network_out, out)
        levels = ((out[0, :3].mean(0) + 1) * 127.5).clip(0, 255)
        finite = np.nan_to_num(levels)
        ranges, contrast = (in_range, out_range), float(finite.std())
        trials.append(_Trial(ranges, finite, contrast, _score(finite, photo.mean(0))))
    return trials


def _ranges_of(tensor: TensorFormat) -> Sequence[ValueRange]:
    return _TRIED_RANGES if tensor.range is None else (tensor.range,)


def _range_of_values(values: F32) -> ValueRange:
    """Return the range that the values of an image lie in."""
    if not np.isfinite(values).all():
        return "-1..1"
    low, high = np.percentile(values, _PERCENTILES)
    if high > 3 or low < -3:
        return "0..255"
    return "-1..1" if low < -0.1 else "0..1"


def _score(levels: F32, photo: F32) -> float:
    """Return how much an image, in levels of 255, resembles the test image in [-1, 1]."""
    contrast = float(levels.std())
    cut_off = float(np.mean((levels < 0.5) | (levels > 254.5)))
    if contrast < _MIN_CONTRAST or cut_off > _MAX_CUT_OFF:
        return 0.0
    deviation = float(photo.std()) * 127.5
    correlation = float(np.mean((levels - levels.mean()) * (photo - photo.mean()) * 127.5))
    correlation = abs(correlation) / (contrast * deviation)
    return max(correlation, 0.01) * min(1.0, contrast / deviation) * (1 - cut_off)


def _make_photo(height: int, width: int) -> F32:
    """Return float32 3,H,W in [-1, 1] with the spectrum and the colors of photos."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    planes = [
        np.fft.irfft2(
            np.fft.rfft2(random.normal(size=(height, width))) / frequency, s=(height, width)
        )
        for _ in range(4)
    ]
    gray, *colors = [plane / plane.std() for plane in planes]
    photo = np.stack([gray + 0.4 * color for color in colors]) * 0.45
    return photo.clip(-1, 1).astype(np.float32)
