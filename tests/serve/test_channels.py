"""Served models of gray images and of images with alpha."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientSession
from PIL import Image
from support.third_party import write_channel_model

from conftest import make_image

from .factories import decode_image, encode_image
from .server import RunningServer, start_server

CHANNELS = ((1, 1), (3, 1), (1, 3), (4, 4), (3, 4))
RGBA = np.dstack([make_image(0, 64, 48), np.linspace(0, 255, 64 * 48).reshape(64, 48)]).astype(
    np.uint8
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    models = [write_channel_model(folder / f"{a}to{b}.onnx", (a, b)) for a, b in CHANNELS]
    with start_server(*models, source=str(clip)) as server:
        yield server


def post(server: RunningServer, model: str, accept: str) -> Image.Image:
    status, _, body = server.request(
        "POST",
        f"/v1/translate?size=source&model={model}",
        encode_image("PNG", RGBA),
        {"Content-Type": "image/png", "Accept": accept},
    )
    assert status == 200, body
    return Image.open(io.BytesIO(body))


@pytest.mark.parametrize("model", ["1to1", "3to1"])
@pytest.mark.parametrize("accept", ["image/png", "image/jpeg", "image/webp"])
def test_gray_models_give_gray_images(server: RunningServer, model: str, accept: str) -> None:
    image = post(server, model, accept)
    assert image.size == (48, 64)
    assert image.mode == ("RGB" if accept == "image/webp" else "L")  # WebP has no gray


def test_models_with_alpha_get_and_give_it(server: RunningServer) -> None:
    assert np.array_equal(np.asarray(post(server, "4to4", "image/png")), RGBA)
    flat = np.asarray(post(server, "4to4", "image/jpeg"))
    weight = RGBA[..., 3:] / 255
    assert np.abs(flat - (RGBA[..., :3] * weight + 255 * (1 - weight))).mean() < 4


@pytest.mark.parametrize("source", ["mine", "server"])
@pytest.mark.parametrize("model", [f"{a}to{b}" for a, b in CHANNELS])
def test_streams_are_rgb(server: RunningServer, source: str, model: str) -> None:
    async def main() -> None:
        async with ClientSession() as http, http.ws_connect(f"{server.url}/v1/stream") as socket:
            await socket.send_json({"size": "48x64", "model": model, "source": source})
            if source == "mine":
                await socket.send_bytes(bytes(4) + encode_image("PNG", RGBA[..., :3].copy()))
            frame = decode_image((await socket.receive_bytes())[4:])
            assert frame.shape == (64 if source == "mine" else 128, 48, 3)
            if model.endswith("1"):
                translated = frame[-64:].astype(int)
                assert (
                    np.abs(translated[..., 0] - translated[..., 2]).mean() <= 1
                )  # JPEG blurs colors

    asyncio.run(asyncio.wait_for(main(), 60))
