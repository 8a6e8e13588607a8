"""The engine that asks a Triton server, here a simulated one (tests/simulated/tritonserver.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from simulated.tritonserver import Server

from cgt.export import build_engine
from cgt.export.formats import BuildOptions
from cgt.runtime import Translator, translate
from cgt.runtime.engines import BatchShape, open_engine, read_remote
from cgt.runtime.errors import EngineError, Interrupted, ModelError, UsageError
from conftest import FRAMES, picture, run_cgt
from graphs import write_translator

FOREIGN = """name: "other" platform: "onnxruntime_onnx" max_batch_size: 0
    input {{ name: "x" data_type: {kind} dims: [ {dims} ] }}
    output {{ name: "y" data_type: {kind} dims: [ {dims} ] }}"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the exporter writes it."""
    folder = tmp_path_factory.mktemp("triton")
    onnx = write_translator(folder / "m.onnx", io="uint8", domains=("horse", "zebra"))
    build_engine(onnx, "triton", folder / "repo", BuildOptions(backends=("python",)))
    return folder / "repo" / "m_python" / "config.pbtxt"


@pytest.fixture
def server(config: Path) -> Iterator[Server]:
    server = Server(config)
    yield server
    server.kill()


def test_pictures_go_there_and_back(server: Server) -> None:
    with Translator(engine=server.uri, size=(36, 52)) as translator:
        assert translator.artifact.domains == ("horse", "zebra")
        assert translator.path.name == "m_python"
        image = picture(0, 36, 52)
        assert (translator(image) == 255 - image).all()
    assert set(server.asked) == {(1, 36, 52, 3)}


def test_a_video_keeps_its_order_with_several_in_flight(server: Server, clip: Path) -> None:
    plain = [255 - frame for frame in _frames(clip)]
    server.delay = 0.02
    made = list(translate(clip, engine=server.uri, size="source"))
    assert len(made) == FRAMES
    assert all((a == b).all() for a, b in zip(made, plain, strict=True))
    assert 2 <= server.most_at_once <= 4
    server.most_at_once = 0
    list(translate(clip, engine=server.uri + "?requests=1", frames=4))
    assert server.most_at_once == 1
    list(translate(clip, engine=server.uri, frames=5, batch=4))
    assert {shape[0] for shape in server.asked} == {1, 4}


def _frames(clip: Path) -> list[np.ndarray]:
    import av

    with av.open(str(clip)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_a_server_that_is_killed_and_started_again_costs_no_frame(
    config: Path, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Server(config)
    first.delay = 0.05
    again: list[Server] = []

    def restart() -> None:
        while len(first.asked) < 6:
            time.sleep(0.01)
        first.kill()
        time.sleep(0.6)
        # A newer version has come: this run stays with the one that it began with.
        again.append(Server(config, ("1", "2"), port=first.port))

    thread = threading.Thread(target=restart)
    thread.start()
    made = list(translate(clip, engine=first.uri, size="source"))
    thread.join()
    again[0].kill()
    plain = [255 - frame for frame in _frames(clip)]
    assert all((a == b).all() for a, b in zip(made, plain, strict=True))
    assert again[0].asked
    waiting, back = caplog.messages
    assert "waiting up to 120 s" in waiting
    assert "is back after" in back


def test_a_dead_process_of_the_model_is_waited_for(server: Server, caplog: object) -> None:
    with Translator(engine=server.uri, size=(32, 32)) as translator:
        server.unhealthy = 2
        image = picture(0, 32, 32)
        assert (translator(image) == 255 - image).all()


def test_who_does_not_come_back_is_given_up(server: Server) -> None:
    with Translator(engine=server.uri + "?wait=0", size=(32, 32)) as translator:
        server.kill()
        with pytest.raises(EngineError, match=r"no Triton server answers.*waited 0 s"):
            translator(picture(0, 32, 32))


def test_a_deadline_ends_a_request(server: Server) -> None:
    with Translator(engine=server.uri + "?deadline=1&wait=0", size=(32, 32)) as translator:
        server.delay = 1.5
        with pytest.raises(EngineError, match="within 1 s"):
            translator(picture(0, 32, 32))


def test_a_signal_ends_the_waiting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from cgt.runtime.engines import triton_link

    with Translator(engine=server.uri, size=(32, 32)) as translator:
        server.kill()
        monkeypatch.setattr(triton_link, "asked_to_stop", lambda: True)
        with pytest.raises(Interrupted):
            translator(picture(0, 32, 32))


def test_mistakes_are_one_line(server: Server, clip: Path, tmp_path: Path) -> None:
    nowhere = Server("name: 'gone'")
    nowhere.kill()
    for engine, words, code in (
        (server.uri + "s", "has no model m_pythons", 1),
        (server.uri + "/7", "has no model m_python in version 7", 1),
        (nowhere.uri, "no Triton server answers at 127.0.0.1", 1),
        ("triton://host", "is not triton://HOST:8001/MODEL", 2),
        (server.uri + "?retries=3", "unknown parameter retries", 2),
    ):
        done = run_cgt("translate", clip, "-o", tmp_path / "out.mp4", "--engine", engine)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("cgt: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
        assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="leave --model out"):
        Translator("m.onnx", engine=server.uri)
    with pytest.raises(UsageError, match="up to 8 pictures at once, not 9"):
        Translator(engine=server.uri, size=(32, 32), batch=9)
    with pytest.raises(ModelError, match="takes uint8 tensors, not float"):
        open_engine(tmp_path, BatchShape(1, 3, 32, 32), server.uri)


def test_an_answer_of_another_shape_is_refused(server: Server) -> None:
    server.crop = 2
    with pytest.raises(ModelError, match=r"gave uint8 1x30x32x3 for uint8 1x32x32x3"):
        Translator(engine=server.uri, size=(32, 32))


def test_models_of_others_are_known_by_their_shapes() -> None:
    for kind, dims, io, dynamic in (
        ("TYPE_FP32", "1, 3, 40, 48", "float", False),
        ("TYPE_FP32", "3, -1, -1", "float", True),
        ("TYPE_UINT8", "-1, 40, 48, 3", "uint8", False),
    ):
        server = Server(FOREIGN.format(kind=kind, dims=dims))
        try:
            artifact = read_remote(server.uri)
            assert (artifact.io, artifact.dynamic) == (io, dynamic)
            assert dynamic or artifact.size == (40, 48)
            if not dynamic:
                with Translator(engine=server.uri) as translator:
                    image = picture(0, 40, 48)
                    assert np.abs(translator(image).astype(int) - (255 - image)).max() <= 1
        finally:
            server.kill()
    for kind, dims in (("TYPE_INT32", "3, 4, 4"), ("TYPE_FP32", "10"), ("TYPE_UINT8", "3, 8, 8")):
        server = Server(FOREIGN.format(kind=kind, dims=dims))
        with pytest.raises(ModelError, match="only such models can be translated with"):
            read_remote(server.uri)
        server.kill()
