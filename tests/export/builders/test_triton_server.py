"""Real Triton server on the loopback that serves the exported repository.

`make triton-check` installs the server; without it these tests are skipped.
"""

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
    not TRITON.exists(), reason="no Triton server: run make triton-check, or set CGT_TRITON"
)
MODELS = ("bundled_python", "tiny_python")


class Server:
    """A server of one repository on its own ports; it can be restarted."""

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
        """Kill the server and the processes of its models, which outlive it."""
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

    def infer_over_http(self, model: str, image: np.ndarray) -> np.ndarray:
        """Translate a uint8 (H, W, 3) image over HTTP and JSON."""
        batch = image[None]
        tensor = {"name": "image", "shape": batch.shape, "datatype": "UINT8"}
        body = {"inputs": [tensor | {"data": batch.ravel().tolist()}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/v2/models/{model}/infer", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request) as response:
            (output,) = json.load(response)["outputs"]
        return np.array(output["data"], np.uint8).reshape(output["shape"])[0]


@pytest.fixture(scope="module")
def tiny(run_folder: Path) -> Path:
    """Export a trained generator with uint8 tensors."""
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
def test_http_and_grpc_match_the_local_engine(
    server: Server, tiny: Path, size: tuple[int, int]
) -> None:
    """One size needs padding, which the server adds."""
    image = make_image(3, *size)
    for name, model in (("bundled_python", DEFAULT_MODEL), ("tiny_python", tiny)):
        options = {"frame_size": size, "size": size, "performance_hint": "throughput"}
        with Translator(model, engine="openvino", **options) as local:
            expected = local(image)
        with Translator(engine=server.uri(name), **options) as remote:
            np.testing.assert_array_equal(remote(image), expected)
        np.testing.assert_array_equal(server.infer_over_http(name, image), expected)


def test_video_keeps_every_frame_while_the_server_is_killed(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    """The output equals that of the local engine, byte for byte."""
    video = sample_clip().with_name("bikes.mp4")
    local_output, remote_output = tmp_path / "local.mp4", tmp_path / "remote.mp4"
    size = ["--size", "600x256"]
    local = ["--model", tiny, "--engine", "openvino"]
    done = run_cgt("translate", video, "-o", local_output, *size, *local)
    assert done.returncode == 0, done.stderr
    command = [Path(sys.executable).with_name("cgt"), "translate", video]
    command += ["-o", remote_output, *size]
    engine = ["--engine", server.uri("tiny_python")]
    running = subprocess.Popen([*map(str, command), *engine], stderr=subprocess.PIPE, text=True)
    before = _inference_count(server)
    while _inference_count(server) < before + 40:
        assert running.poll() is None, "the video ended before the server was killed"
        time.sleep(0.02)
    server.kill()
    time.sleep(1)
    server.start()
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == 0, stderr
    assert "retrying for up to 120 s" in stderr
    assert "is back after" in stderr
    assert _count_frames(remote_output) == _count_frames(local_output) == _count_frames(video)
    assert remote_output.read_bytes() == local_output.read_bytes()


def _inference_count(server: Server) -> int:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.http}/v2/models/tiny_python/stats"
    ) as response:
        return int(json.load(response)["model_stats"][0]["inference_count"])


def _count_frames(path: Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_rejected_image_fails_alone(server: Server) -> None:
    """Later requests are translated."""
    with pytest.raises(urllib.error.HTTPError) as error:
        server.infer_over_http("tiny_python", make_image(0, 64, 64)[:8, :8])
    assert "too small" in error.value.read().decode()
    assert server.infer_over_http("tiny_python", make_image(0, 64, 64)).shape == (64, 64, 3)
