"""Every encoder and container returns the frames that were written, in order and intact."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cgt.runtime.errors import UsageError
from cgt.runtime.image.preprocess import U8
from cgt.runtime.sinks import (
    EncodingOptions,
    StreamFormat,
    TranslatedFrame,
    open_sink,
    open_sinks,
)
from cgt.runtime.sinks.codecs import CODECS, CONTAINERS, HARDWARE_CODECS, CodecSettings
from cgt.runtime.sinks.codecs import _encoder_error as encoder_error
from cgt.runtime.sinks.encoder import VideoEncoder
from cgt.runtime.sinks.muxer import Muxer
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.sources.test_pattern import read_counter, write_counter

COUNT, BLOCK_PX, RESTART = 40, 32, 30
CONTAINER_CODECS = [(suffix, codec) for suffix, codecs in CONTAINERS.items() for codec in codecs]


def draw_frames(size: tuple[int, int]) -> list[U8]:
    """Draw random black and white blocks that change in every frame, and a frame counter."""
    height, width = size
    frames = []
    for number in range(COUNT):
        random = np.random.default_rng(number)
        blocks = random.choice([16, 235], (height // BLOCK_PX, width // BLOCK_PX, 1))
        image = blocks.repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1).repeat(3, 2).astype(np.uint8)
        write_counter(image, number)
        frames.append(image)
    return frames


def as_results(images: list[U8]) -> list[TranslatedFrame]:
    return [
        TranslatedFrame(Frame(image, Fraction(i, 25), starts_segment=i == RESTART), image)
        for i, image in enumerate(images)
    ]


def assert_same_frames(images: list[U8], path: Path) -> None:
    with open_source(str(path)) as source:
        items = [item for item in source if isinstance(item, Frame)]
    assert [read_counter(item.image) for item in items] == list(range(COUNT))
    for before, item in zip(images, items, strict=True):
        difference = cv2.absdiff(before, item.image).astype(np.float32).mean(2)
        height, width = difference.shape
        blocks = cv2.resize(
            difference, (width // BLOCK_PX, height // BLOCK_PX), interpolation=cv2.INTER_AREA
        )
        assert blocks.max() < 60  # a wrong block differs by 219


@pytest.mark.parametrize(
    ("suffix", "codec", "size"),
    [
        *((suffix, codec, (224, 320)) for suffix, codec in CONTAINER_CODECS),
        *((".mkv", codec, (96, 160)) for codec in CODECS),
        *((".mp4", codec, (224, 320)) for codec in HARDWARE_CODECS),
    ],
)
def test_numbered_frames_return(
    suffix: str, codec: str, size: tuple[int, int], tmp_path: Path
) -> None:
    settings: CodecSettings = (CODECS | HARDWARE_CODECS)[codec]
    if error := encoder_error(settings, size):
        pytest.skip(f"{settings.encoder} does not work here: {error}")
    images, path = draw_frames(size), tmp_path / f"o{suffix}"
    with open_sink(str(path), StreamFormat(size, Fraction(25), Fraction(1, 25)), codec) as sink:
        for result in as_results(images):
            sink.write(result)
        sink.finish()
    assert_same_frames(images, path)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_numbered_frames_return_from_live_encoders(codec: str, tmp_path: Path) -> None:
    images, path, size = draw_frames((224, 320)), tmp_path / "o.ts", (224, 320)
    stream = StreamFormat(size, Fraction(25), Fraction(1, 25))
    with av.open(str(path), "w", format="mpegts") as container:
        muxer = Muxer(container, stream, CODECS[codec], live=True)
        for result in as_results(images):
            muxer.write(result)
        muxer.finish()
    assert_same_frames(images, path)


def test_crf_and_preset_reach_the_encoder(tmp_path: Path) -> None:
    frames = as_results(draw_frames((96, 160)))
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    data = {}
    for crf, preset in ((None, None), (20, "veryfast"), (40, None), (None, "ultrafast")):
        path = tmp_path / f"{crf}-{preset}.mp4"
        with open_sink(str(path), stream, EncodingOptions("h264", crf, preset)) as sink:
            for frame in frames:
                sink.write(frame)
            sink.finish()
        assert_same_frames([frame.image for frame in frames], path)
        data[crf, preset] = path.read_bytes()
    assert data[None, None] == data[20, "veryfast"]
    assert b"crf=40.0" in data[40, None]  # x264 stores its settings in the stream
    assert b"cabac=0" in data[None, "ultrafast"]
    assert b"cabac=1" in data[None, None]


@pytest.mark.parametrize("codec", [*CODECS, *HARDWARE_CODECS])
def test_every_setting_in_range_is_accepted(codec: str) -> None:
    settings = (CODECS | HARDWARE_CODECS)[codec]
    for preset in settings.presets or (None,):
        for crf in settings.crf_range if settings.crf else (None,):
            changed = settings.with_options(EncodingOptions(codec, crf, preset), codec)
            if codec in CODECS:
                assert encoder_error(changed, (96, 160)) is None
            if crf is not None:
                assert changed.options[settings.crf] == str(crf)
            if preset is not None:
                assert changed.options[settings.preset] == preset


@pytest.mark.parametrize(
    ("codec", "crf", "preset", "message"),
    [
        ("h264", 52, None, "--crf 52 is not for h264; give a number from 0 to 51"),
        ("av1", 0, None, "--crf 0 is not for av1; give a whole number from 1 to 63"),
        ("av1", 20.5, None, "--crf 20.5 is not for av1; give a whole number"),
        ("vp9", None, "veryfast", "--preset veryfast is no preset of vp9; use 0, 1, 2"),
        ("av1", None, "10", "--preset 10 is no preset of av1; use 0, 1"),
        ("prores", 20, None, "prores has no constant rate factor"),
        ("prores", None, "fast", "--preset fast is no preset of prores; it has none"),
    ],
)
def test_settings_out_of_range_are_refused(
    codec: str, crf: float | None, preset: str | None, message: str, tmp_path: Path
) -> None:
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    path = tmp_path / "out.mkv"
    with pytest.raises(UsageError, match=message):
        open_sink(str(path), stream, EncodingOptions(codec, crf, preset))
    assert list(tmp_path.iterdir()) == []


def test_options_of_encoders_need_a_video(tmp_path: Path) -> None:
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    for uri in (str(tmp_path / "out.png"), f"{tmp_path}/folder/", "null:", "-"):
        with pytest.raises(UsageError, match="--crf is for videos; no output is one"):
            open_sinks([uri], stream, EncodingOptions(crf=20))
    both = [str(tmp_path / "out.png"), str(tmp_path / "out.mp4")]
    open_sinks(both, stream, EncodingOptions(crf=20)).close()


def encode_live(codec: CodecSettings, frames: list[U8]) -> list[int]:
    """Return how many packets a live encoder returns for each frame."""
    stream = StreamFormat((224, 320), Fraction(25), Fraction(1, 25))
    encoder = VideoEncoder(stream, codec, live=True)
    return [len(encoder.encode(result)) for result in as_results(frames)]


@pytest.mark.parametrize("codec", ["h264", "hevc", *HARDWARE_CODECS])
def test_live_encoders_return_each_frame_at_once(codec: str) -> None:
    settings = (CODECS | HARDWARE_CODECS)[codec]
    if error := encoder_error(settings, (224, 320)):
        pytest.skip(f"{settings.encoder} does not work here: {error}")
    assert encode_live(settings, draw_frames((224, 320))[:10]) == [1] * 10


@pytest.mark.parametrize("codec", [name for name in HARDWARE_CODECS if "nvenc" in name])
def test_nvenc_is_told_not_to_delay_live_frames(codec: str) -> None:
    """By default it keeps as many frames as it has surfaces."""
    stream = StreamFormat((224, 320), Fraction(25), Fraction(1, 25))
    live, file = (
        VideoEncoder(stream, HARDWARE_CODECS[codec], live=live)._context.options
        for live in (True, False)
    )
    wanted = {"delay": "0", "zerolatency": "1", "tune": "ull", "bf": "0", "g": "50"}
    assert wanted.items() <= live.items()
    assert not wanted.keys() & file.keys()
