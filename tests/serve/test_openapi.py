"""Tests of the OpenAPI document, and of the API with a fuzzer that reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgt.serve.app import ENDPOINTS
from conftest import write_inverse_model

from .server import RunningServer, start_server

FUZZER = Path(sys.executable).with_name("schemathesis")


@pytest.fixture(scope="module", params=[None, "a token"], ids=["open", "token"])
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RunningServer]:
    model = write_inverse_model(tmp_path_factory.mktemp("models") / "inverse.onnx")
    with start_server(model, token=request.param) as server:
        yield server


def test_document_describes_all_endpoints(server: RunningServer) -> None:
    document = json.loads(server.request("GET", "/openapi.json")[2])
    assert document["openapi"] == "3.1.0"
    documented = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert documented == {(e.method, e.path) for e in ENDPOINTS if e.operation is not None}
    assert ("securitySchemes" in document["components"]) == (document.get("security") is not None)
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert set(operation["responses"]) > {"200"}


def test_schemathesis(server: RunningServer, tmp_path: Path) -> None:
    """Send requests that the document allows and forbids, and check the responses against it.

    Rejecting random bytes as an image is not an error, hence the excluded check.
    """
    if not FUZZER.exists():
        pytest.skip("schemathesis is not installed (Python 3.11 or newer)")
    command = [FUZZER, "run", f"{server.url}/openapi.json", "--max-examples", "30", "--seed", "1"]
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--no-color"]
    command += ["--generation-database", "none", "--header", "Authorization: Bearer a token"]
    # It writes a folder of results to its working directory.
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
