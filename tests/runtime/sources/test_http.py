"""Images and recordings over HTTP, which end, unlike a camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from cgt.runtime.errors import SourceError
from cgt.runtime.image.files import encode_image, read_image
from cgt.runtime.sources import Frame, open_source
from conftest import make_image, run_cgt, write_inverse_model

SIDE_PX = 64


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    image = np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)
    found = {f"a{suffix}": encode_image(image, suffix) for suffix in (".png", ".jpg", ".bmp")}
    jpegs = [encode_image(make_image(index, SIDE_PX, SIDE_PX), ".jpg") for index in range(5)]
    return found | {"a.mjpeg": b"".join(jpegs)}


@pytest.fixture(scope="module")
def url(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the files with a length, and below /chunked without one."""
    gif = tmp_path_factory.mktemp("gif") / "a.gif"
    with av.open(str(gif), "w") as out:
        video = out.add_stream("gif", rate=5)
        video.width = video.height = SIDE_PX
        video.pix_fmt = "rgb8"
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(make_image(index, SIDE_PX, SIDE_PX), format="rgb24")
            out.mux(video.encode(frame.reformat(format="rgb8")))
        out.mux(video.encode(None))
    files["a.gif"] = gif.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = files[self.path.rpartition("/")[2].partition("?")[0]]
            self.send_response(200)
            if self.path.startswith("/chunked"):
                self.send_header("Transfer-Encoding", "chunked")
                data = f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n"
            else:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("folder", ["", "/chunked"])
@pytest.mark.parametrize(
    ("name", "count"), [("a.png", 1), ("a.jpg", 1), ("a.bmp", 1), ("a.gif", 5)]
)
def test_an_image_over_http_ends(url: str, folder: str, name: str, count: int) -> None:
    with open_source(f"{url}{folder}/{name}") as source:
        frames = [item.image for item in source if isinstance(item, Frame)]
    assert len(frames) == count
    if count == 1:
        assert abs(frames[0].astype(int) - 90).max() <= 1


def test_motion_jpeg_with_a_length_is_a_recording(url: str) -> None:
    with open_source(f"{url}/a.mjpeg") as source:
        assert not source.live
        assert sum(isinstance(item, Frame) for item in source) == 5


def test_motion_jpeg_without_a_length_is_live(url: str) -> None:
    with open_source(f"{url}/chunked/a.mjpeg") as source:
        assert source.live
        with pytest.raises(SourceError, match="closed the connection"):
            list(source)


def test_translate_an_image_over_http(url: str, tmp_path: Path) -> None:
    model = write_inverse_model(tmp_path / "inverse.onnx")
    out = tmp_path / "out.png"
    done = run_cgt(
        *("translate", f"{url.replace('//', '//me:s3cret@')}/a.png?token=s3cret", "-o", out),
        *("--model", model, "--engine", "onnxruntime", "--verbose", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    assert "//me:***@127.0.0.1" in done.stdout
    assert abs(read_image(out).astype(int) - 165).max() <= 1
