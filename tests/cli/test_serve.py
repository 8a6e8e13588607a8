"""Tests of the command `cgt serve`: startup, shutdown, TLS, tokens and errors."""

from __future__ import annotations

import datetime
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cgt.cli.main import main
from conftest import write_inverse_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_inverse_model(tmp_path / "inverse.onnx")


@contextmanager
def run_serve(*args: object) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run `cgt serve` on a free port.

    Yields the process, and the lines that it printed up to the one with its address.
    """
    command = [str(Path(sys.executable).with_name("cgt")), "serve", *map(str, args), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line.rstrip("\n"))
                if line.startswith("open http"):
                    break
            yield process, lines
        finally:
            process.kill()


def stop(process: subprocess.Popen[str], stop_signal: signal.Signals) -> str:
    """Stop the command and return what it printed to stderr."""
    process.send_signal(stop_signal)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_the_server(model: Path, stop_signal: signal.Signals) -> None:
    with run_serve("--model", model) as (process, lines):
        assert lines[-2].startswith("inverse: A to B, ")
        address = lines[-1].removeprefix("open ")
        with urllib.request.urlopen(address + "v1/models", timeout=60) as response:
            assert json.load(response)["models"][0]["name"] == "inverse"
        port = int(re.findall(r":(\d+)/", address)[0])
        with socket.create_connection(
            ("127.0.0.1", port)
        ):  # an idle connection must not delay the end
            assert stop(process, stop_signal) == "stopped; 0 frames translated\n"


def test_token_is_generated_for_other_machines(model: Path) -> None:
    with run_serve("--model", model, "--host", "0.0.0.0") as (process, lines):
        token = re.fullmatch(r"open http://\S+:(\d+)/\?token=(\S{20,})", lines[-1])
        assert token
        port, secret = token.groups()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models")
        with pytest.raises(urllib.error.HTTPError, match="401") as error:
            urllib.request.urlopen(request, timeout=60)
        error.value.close()
        request.add_header("Authorization", f"Bearer {secret}")
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200
        assert "unencrypted" in " ".join(lines)
        stop(process, signal.SIGTERM)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for localhost, and return the paths of it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_tls(model: Path, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    with run_serve("--model", model, "--cert", cert, "--key", key) as (process, lines):
        address = lines[-1].removeprefix("open ").replace("127.0.0.1", "localhost")
        assert address.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(address + "healthz", context=trusting, timeout=60) as response:
            assert response.status == 200
        stop(process, signal.SIGTERM)


def test_errors_are_one_line(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def error(*args: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["cgt", "serve", *map(str, args)])
        with pytest.raises(SystemExit) as exit_error:
            main()
        message = capsys.readouterr().err
        assert message.count("\n") == 1, message
        return exit_error.value.code, message

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert error("--model", model, "--port", port) == (
            1,
            f"cgt: cannot listen on 127.0.0.1:{port}: Address already in use\n",
        )
    code, message = error("--model", tmp_path / "nosuch.onnx")
    assert (code, "nosuch.onnx" in message) == (1, True)
    other = tmp_path / "more" / model.name
    other.parent.mkdir()
    other.write_bytes(model.read_bytes())
    assert error("--model", model, "--model", other)[0] == 2
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    assert error("--model", tmp_path / "bad.onnx")[0] == 1
    assert error("--cert", model)[0] == 2
    code, message = error("--cert", model, "--key", model)
    assert code == 2
    assert "PEM" in message
    assert error("--model", model, "--host", "nosuch.invalid", "--token", "x" * 8)[0] == 1
    assert error("--host", "0.0.0.0", "--token", "short")[0] == 2


def test_missing_extra() -> None:
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'aiortc' else find(name, *more)\n"
        "sys.argv = ['cgt', 'serve']\n"
        "from cgt.cli.main import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 3
    assert "pip install 'cyclegan-toolkit[serve]'" in result.stderr
    assert result.stderr.count("\n") == 1
