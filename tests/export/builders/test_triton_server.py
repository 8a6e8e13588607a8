"""A real Triton server on the loopback serves what `cgt export` wrote. `make triton-check` installs
it; without it these tests skip."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from cgt.export import build_engine
from cgt.export.formats import BuildOptions
from cgt.runtime import Translator
from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.runtime.models.sample_clip import sample_clip
from conftest import make_image, run_cgt

TRITON = Path(os.environ.get("CGT_TRITON", Path(sys.prefix, "triton", "tritonserver")))
pytestmark = pytest.mark.skipif(
    not TRITON.exists(), reason="no Triton server here: make triton-check, or set CGT_TRITON"
)
MODELS = ("bundled_python", "tiny_python")


class Server:
    """Of one repository, on ports of its own; may be started again."""

    def __init__(self, repository: Path) -> None:
        self.repository, self.log = repository, repository.with_name("server.log")
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.http, self.grpc = one.getsockname()[1], other.getsockname()[1]
        self.start()

    def start(self) -> None:
        settings = {
            "model-repository": self.repository,
            "http-address": "127.0.0.1",
            "http-port": self.http,
            "grpc-address": "127.0.0.1",
            "grpc-port": self.grpc,
            "allow-metrics": "false",
            "model-control-mode": "explicit",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        arguments += [f"--load-model={name}" for name in MODELS]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [TRITON, *arguments], stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """With the models' processes, which outlive it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> None:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/health/ready"):
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
                time.sleep(0.2)
        raise AssertionError(self.log.read_text(errors="replace")[-3000:])

    def uri(self, model: str) -> str:
        return f"triton://127.0.0.1:{self.grpc}/{model}"

    def by_http(self, model: str, image: np.ndarray) -> np.ndarray:
        """A uint8 H,W,3 picture through HTTP and JSON."""
        batch = image[None]
        tensor = {"name": "image", "shape": batch.shape, "datatype": "UINT8"}
        body = {"inputs": [tensor | {"data": batch.ravel().tolist()}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/v2/models/{model}/infer", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request) as answer:
            (output,) = json.load(answer)["outputs"]
        return np.array(output["data"], np.uint8).reshape(output["shape"])[0]


@pytest.fixture(scope="module")
def tiny(run_folder: Path) -> Path:
    """A trained generator with uint8 tensors."""
    path = run_folder / "tiny8" / "tiny.onnx"
    path.parent.mkdir()
    arguments = ["--ckpt", run_folder / "latest.pth", "--io", "uint8", "-o", path]
    done = run_cgt("export", *arguments, "--format", "onnx")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("triton")
    bundled = folder / "bundled.onnx"
    bundled.write_bytes(DEFAULT_MODEL.read_bytes())
    for onnx in (bundled, tiny):
        build_engine(onnx, "triton", folder / "repository", BuildOptions(backends=("python",)))
    server = Server(folder / "repository")
    server.wait()
    yield server
    server.kill()


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (50, 67)])
def test_http_and_grpc_answer_as_the_local_engine(
    server: Server, tiny: Path, size: tuple[int, int]
) -> None:
    """Also a size that the network pads: the server does."""
    image = make_image(3, *size)
    for name, model in (("bundled_python", DEFAULT_MODEL), ("tiny_python", tiny)):
        options = {"frame": size, "size": size, "goal": "throughput"}
        with Translator(model, engine="openvino", **options) as local:
            expected = local(image)
        with Translator(engine=server.uri(name), **options) as remote:
            np.testing.assert_array_equal(remote(image), expected)
        np.testing.assert_array_equal(server.by_http(name, image), expected)


def test_a_street_keeps_every_frame_while_its_server_is_killed(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    """The file is that of the local engine, byte for byte."""
    street = sample_clip().with_name("bikes.mp4")
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    size = ["--size", "600x256"]
    local = ["--model", tiny, "--engine", "openvino"]
    done = run_cgt("translate", street, "-o", whole, *size, *local)
    assert done.returncode == 0, done.stderr
    command = [Path(sys.executable).with_name("cgt"), "translate", street, "-o", cut, *size]
    engine = ["--engine", server.uri("tiny_python")]
    running = subprocess.Popen([*map(str, command), *engine], stderr=subprocess.PIPE, text=True)
    before = _answered(server)
    while _answered(server) < before + 40:
        assert running.poll() is None, "it was done before its server could be killed"
        time.sleep(0.02)
    server.kill()
    time.sleep(1)
    server.start()
    _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert "retrying for up to 120 s" in said
    assert "is back after" in said
    assert _count(cut) == _count(whole) == _count(street)
    assert cut.read_bytes() == whole.read_bytes()


def _answered(server: Server) -> int:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.http}/v2/models/tiny_python/stats"
    ) as answer:
        return int(json.load(answer)["model_stats"][0]["inference_count"])


def _count(path: Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_a_picture_that_the_model_refuses_is_an_error_of_its_own(server: Server) -> None:
    """Others in the same batch are translated."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.by_http("tiny_python", make_image(0, 64, 64)[:8, :8])
    assert "too small" in refused.value.read().decode()
    assert server.by_http("tiny_python", make_image(0, 64, 64)).shape == (64, 64, 3)
