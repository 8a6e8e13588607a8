"""`cgt serve` as it is started and stopped."""

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
def started(*args: object) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, on a free port, with what it said until it listened, which ends with its
    address."""
    command = [str(Path(sys.executable).with_name("cgt")), "serve", *map(str, args), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line.rstrip("\n"))
                if line.startswith("open http"):
                    break
            yield process, said
        finally:
            process.kill()


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> str:
    process.send_signal(number)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    return rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_how_it_ends(model: Path, number: signal.Signals) -> None:
    with started("--model", model) as (process, said):
        assert said[-2].startswith("inverse: A to B, ")
        address = said[-1].removeprefix("open ")
        with urllib.request.urlopen(address + "v1/models", timeout=20) as answer:
            assert json.load(answer)["models"][0]["name"] == "inverse"
        port = int(re.findall(r":(\d+)/", address)[0])
        with socket.create_connection(("127.0.0.1", port)):  # who says nothing holds nothing up
            assert stopped(process, number) == "stopped; 0 pictures translated\n"


def test_beyond_this_machine_a_token_is_made(model: Path) -> None:
    with started("--model", model, "--host", "0.0.0.0") as (process, said):
        token = re.fullmatch(r"open http://\S+:(\d+)/\?token=(\S{20,})", said[-1])
        assert token
        port, secret = token.groups()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models")
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(asked, timeout=20)
        refused.value.close()
        asked.add_header("Authorization", f"Bearer {secret}")
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.status == 200
        assert "in the clear" in " ".join(said)
        stopped(process, signal.SIGTERM)


def certificate(folder: Path) -> tuple[Path, Path]:
    """For localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
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
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_tls(model: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with started("--model", model, "--cert", cert, "--key", key) as (process, said):
        address = said[-1].removeprefix("open ").replace("127.0.0.1", "localhost")
        assert address.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(address + "healthz", context=trusting, timeout=20) as answer:
            assert answer.status == 200
        stopped(process, signal.SIGTERM)


def test_mistakes_are_one_line(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def mistake(*args: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["cgt", "serve", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        return ended.value.code, said

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert mistake("--model", model, "--port", port) == (
            1,
            f"cgt: cannot listen on 127.0.0.1:{port}: Address already in use\n",
        )
    code, said = mistake("--model", tmp_path / "nosuch.onnx")
    assert (code, "nosuch.onnx" in said) == (1, True)
    other = tmp_path / "more" / model.name
    other.parent.mkdir()
    other.write_bytes(model.read_bytes())
    assert mistake("--model", model, "--model", other)[0] == 2
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    assert mistake("--model", tmp_path / "bad.onnx")[0] == 1
    assert mistake("--cert", model)[0] == 2
    code, line = mistake("--cert", model, "--key", model)
    assert code == 2
    assert "PEM" in line
    assert mistake("--model", model, "--host", "nosuch.invalid", "--token", "x" * 8)[0] == 1
    assert mistake("--host", "0.0.0.0", "--token", "short")[0] == 2


def test_without_the_extra() -> None:
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'aiortc' else find(name, *more)\n"
        "sys.argv = ['cgt', 'serve']\n"
        "from cgt.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert "pip install 'cyclegan-toolkit[serve]'" in done.stderr
    assert done.stderr.count("\n") == 1
