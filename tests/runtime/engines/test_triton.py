"""The Triton engine, with a simulated server (tests/fakes/tritonserver.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes.tritonserver import FakeTritonServer
from support.graphs import write_translator_model

from cgt.export import build_engine
from cgt.export.formats import BuildOptions
from cgt.runtime import Translator, translate
from cgt.runtime.engines import BatchShape, open_engine, read_triton_metadata
from cgt.runtime.errors import EngineError, Interrupted, ModelError, UsageError
from conftest import CLIP_FRAMES, make_image, run_cgt

THIRD_PARTY_CONFIG = """name: "other" platform: "onnxruntime_onnx" max_batch_size: 0
    input {{ name: "x" data_type: {data_type} dims: [ {dims} ] }}
    output {{ name: "y" data_type: {data_type} dims: [ {dims} ] }}"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a repository and return its config.pbtxt."""
    folder = tmp_path_factory.mktemp("triton")
    onnx = write_translator_model(folder / "m.onnx", io="uint8", domains=("horse", "zebra"))
    build_engine(onnx, "triton", folder / "repo", BuildOptions(backends=("python",)))
    return folder / "repo" / "m_python" / "config.pbtxt"


@pytest.fixture
def server(config: Path) -> Iterator[FakeTritonServer]:
    server = FakeTritonServer(config)
    yield server
    server.kill()


def test_images_are_sent_and_returned(server: FakeTritonServer) -> None:
    with Translator(engine=server.uri, size=(36, 52)) as translator:
        assert translator.metadata.domains == ("horse", "zebra")
        assert translator.path.name == "m_python"
        image = make_image(0, 36, 52)
        assert (translator(image) == 255 - image).all()
    assert set(server.request_shapes) == {(1, 36, 52, 3)}


def test_a_video_keeps_its_order_with_several_in_flight(
    server: FakeTritonServer, clip: Path
) -> None:
    expected = [255 - frame for frame in _frames(clip)]
    server.delay_s = 0.02
    translated = list(translate(clip, engine=server.uri, size="source"))
    assert len(translated) == CLIP_FRAMES
    assert all((a == b).all() for a, b in zip(translated, expected, strict=True))
    assert 2 <= server.max_in_flight <= 4
    server.max_in_flight = 0
    list(translate(clip, engine=server.uri + "?requests=1", frames=4))
    assert server.max_in_flight == 1
    list(translate(clip, engine=server.uri, frames=5, batch=4))
    assert {shape[0] for shape in server.request_shapes} == {1, 4}


def _frames(clip: Path) -> list[np.ndarray]:
    import av

    with av.open(str(clip)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_a_restarted_server_loses_no_frame(
    config: Path, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = FakeTritonServer(config)
    first.delay_s = 0.05
    restarted: list[FakeTritonServer] = []

    def restart() -> None:
        while len(first.request_shapes) < 6:
            time.sleep(0.01)
        first.kill()
        time.sleep(0.6)
        # A newer version appears: this run keeps the one that it started with.
        restarted.append(FakeTritonServer(config, ("1", "2"), port=first.port))

    thread = threading.Thread(target=restart)
    thread.start()
    translated = list(translate(clip, engine=first.uri, size="source"))
    thread.join()
    restarted[0].kill()
    expected = [255 - frame for frame in _frames(clip)]
    assert all((a == b).all() for a, b in zip(translated, expected, strict=True))
    assert restarted[0].request_shapes
    unavailable, back = caplog.messages
    assert "retrying for up to 120 s" in unavailable
    assert "is back after" in back


def test_a_restarting_model_process_is_waited_for(server: FakeTritonServer, caplog: object) -> None:
    with Translator(engine=server.uri, size=(32, 32)) as translator:
        server.unhealthy_requests = 2
        image = make_image(0, 32, 32)
        assert (translator(image) == 255 - image).all()


def test_a_server_that_stays_down_is_an_error(server: FakeTritonServer) -> None:
    with Translator(engine=server.uri + "?wait=0", size=(32, 32)) as translator:
        server.kill()
        with pytest.raises(EngineError, match=r"no Triton server answers.*gave up after 0 s"):
            translator(make_image(0, 32, 32))


def test_a_deadline_ends_a_request(server: FakeTritonServer) -> None:
    with Translator(engine=server.uri + "?deadline=1&wait=0", size=(32, 32)) as translator:
        server.delay_s = 1.5
        with pytest.raises(EngineError, match="within 1 s"):
            translator(make_image(0, 32, 32))


def test_a_signal_ends_the_wait(server: FakeTritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from cgt.runtime.engines import triton_client

    with Translator(engine=server.uri, size=(32, 32)) as translator:
        server.kill()
        monkeypatch.setattr(triton_client, "stop_requested", lambda: True)
        with pytest.raises(Interrupted):
            translator(make_image(0, 32, 32))


def test_invalid_requests_are_reported_in_one_line(
    server: FakeTritonServer, clip: Path, tmp_path: Path
) -> None:
    stopped = FakeTritonServer("name: 'gone'")
    stopped.kill()
    for engine, message, code in (
        (server.uri + "s", "has no model m_pythons", 1),
        (server.uri + "/7", "has no model m_python in version 7", 1),
        (stopped.uri, "no Triton server answers at 127.0.0.1", 1),
        ("triton://host", "is not triton://HOST:8001/MODEL", 2),
        (server.uri + "?retries=3", "unknown parameter retries", 2),
    ):
        done = run_cgt("translate", clip, "-o", tmp_path / "out.mp4", "--engine", engine)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("cgt: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
        assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="leave --model out"):
        Translator("m.onnx", engine=server.uri)
    with pytest.raises(UsageError, match="up to 8 images at once, not 9"):
        Translator(engine=server.uri, size=(32, 32), batch=9)
    with pytest.raises(ModelError, match="takes uint8 tensors, not float"):
        open_engine(tmp_path, BatchShape(1, 3, 32, 32), server.uri)


def test_an_output_of_another_shape_is_refused(server: FakeTritonServer) -> None:
    server.missing_rows = 2
    with pytest.raises(ModelError, match=r"returned uint8 1x30x32x3 instead of uint8 1x32x32x3"):
        Translator(engine=server.uri, size=(32, 32))


def test_third_party_models_are_described_by_their_shapes() -> None:
    for data_type, dims, io, dynamic in (
        ("TYPE_FP32", "1, 3, 40, 48", "float", False),
        ("TYPE_FP32", "3, -1, -1", "float", True),
        ("TYPE_UINT8", "-1, 40, 48, 3", "uint8", False),
    ):
        server = FakeTritonServer(THIRD_PARTY_CONFIG.format(data_type=data_type, dims=dims))
        try:
            metadata = read_triton_metadata(server.uri)
            assert (metadata.io, metadata.dynamic) == (io, dynamic)
            assert dynamic or metadata.size == (40, 48)
            if not dynamic:
                with Translator(engine=server.uri) as translator:
                    image = make_image(0, 40, 48)
                    assert np.abs(translator(image).astype(int) - (255 - image)).max() <= 1
        finally:
            server.kill()
    for data_type, dims in (
        ("TYPE_INT32", "3, 4, 4"),
        ("TYPE_FP32", "10"),
        ("TYPE_UINT8", "5, 8, 8"),
    ):
        server = FakeTritonServer(THIRD_PARTY_CONFIG.format(data_type=data_type, dims=dims))
        with pytest.raises(ModelError, match="does not translate images"):
            read_triton_metadata(server.uri)
        server.kill()
