"""Masked passwords in errors, warnings and names."""

from __future__ import annotations

import pickle

import pytest

from cgt.runtime import errors
from cgt.runtime.utils.log import mask_passwords, warn_user
from conftest import run_cgt


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://me:s3@host:554/x lost", "rtsp://me:***@host:554/x lost"),
        ("rtsp://me:a/b@c:d@host/x", "rtsp://me:***@host/x"),
        ("rtsp://me:s 3@host/x", "rtsp://me:***@host/x"),
        ("http://:s3@host/", "http://:***@host/"),
        ("http://me:12345@host/", "http://me:***@host/"),
        ("/cwd/rtsp:/me:s3@host/x is missing", "/cwd/rtsp:/me:***@host/x is missing"),
        ("https://me:s3@a/x, https://me:s3@b/y", "https://me:***@a/x, https://me:***@b/y"),
        ("http://host/x?token=s3&size=1", "http://host/x?token=***&size=1"),
        ("http://host/x?size=1&X-Amz-Signature=s3", "http://host/x?size=1&X-Amz-Signature=***"),
        ("srt://host:1?passphrase=s3 lost", "srt://host:1?passphrase=*** lost"),
        (
            "gst://rtspsrc location=rtsp://h/ user-id=me user-pw=s3 ! x",
            "gst://rtspsrc location=rtsp://h/ user-id=me user-pw=*** ! x",
        ),
    ],
)
def test_passwords_are_masked(text: str, masked: str, caplog: pytest.LogCaptureFixture) -> None:
    assert mask_passwords(text) == masked
    assert str(pickle.loads(pickle.dumps(errors.SourceError(text)))) == masked
    assert str(errors.MissingDependency(text)) == masked
    warn_user(text)
    assert caplog.messages == [f"note: {masked}"]


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/image@2x.png lost",
        "rtsp://camera: size=7 is no size; ask me@host",
        "http://host/a:b@c",
        "rtsp://me@host/",
        "a:b@c.mp4 is missing",
        "http://host/?size=1x1&fps=5",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert mask_passwords(text) == text


URL = "rtsp://me:s3cret@127.0.0.1:1/x"


@pytest.mark.parametrize(
    "command",
    [
        ("translate", URL, "-o", "null:"),
        ("translate", URL, "-o", "null:", "--reconnect", "--verbose"),
        ("translate", URL, "other.mp4", "-o", "out"),
        ("translate", URL, "-o", "out", "--jobs", "2"),
        ("translate", URL, "-o", URL),
        ("translate", "test://?frames=2&live=0", "-o", URL),
        ("translate", "test://?frames=2&live=0", "-o", URL.replace("rtsp", "http")),
        ("translate", URL.replace("rtsp", "unknown"), "-o", "null:"),
        ("translate", "0?x=1", "-o", "null:", URL, "--wrong"),
        ("translate", "test://?size=64x64", "-o", "null:", "--engine", f"{URL}/triton"),
        ("translate", "test://?size=64x64", "-o", "null:", "--model", URL),
        pytest.param(
            ("bench", "--pipeline", URL, "--seconds", "0.1", "--size", "64"),
            marks=pytest.mark.slow,
        ),
        ("bench", "--model", URL),
        ("serve", "--source", URL, "--port", "0"),
        pytest.param(("eval", "--model", URL), marks=pytest.mark.slow),
        pytest.param(("export", "--ckpt", URL), marks=pytest.mark.slow),
        ("demo", URL),
    ],
)
def test_no_command_prints_a_password(command: tuple[str, ...], tmp_path: object) -> None:
    done = run_cgt(*command, cwd=tmp_path)
    assert done.returncode != 0
    assert "s3cret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
