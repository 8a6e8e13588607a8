"""Every encoder and container returns the frames that were written, in order and intact."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cgt.runtime.image.preprocess import U8
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
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
