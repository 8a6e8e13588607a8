"""A simulated Triton server: gRPC's inference service over one model that inverts pictures, or in
its version 2 leaves them as they are.

It answers as the real one (2.51) was seen to, errors included, and can be stopped, made slow, or
made to answer wrongly. `tests/export/test_triton_server.py` meets the real one.
"""

from __future__ import annotations

import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

_TYPES = {"UINT8": np.uint8, "FP32": np.float32}


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """config: the model's config.pbtxt. Public attributes may be changed while it runs."""

    def __init__(
        self, config: Path | str, versions: tuple[str, ...] = ("1",), port: int = 0
    ) -> None:
        text = config.read_text() if isinstance(config, Path) else config
        self.config = text_format.Parse(text, model_config_pb2.ModelConfig())
        self.versions = versions
        self.delay = 0.0  # seconds
        self.crop = 0  # rows missing in what it answers
        self.unhealthy = 0  # requests to fail as after the death of the model's process
        self.asked: list[tuple[int, ...]] = []  # shapes of requests
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    @property
    def uri(self) -> str:
        return f"triton://127.0.0.1:{self.port}/{self.config.name}"

    def kill(self) -> None:
        """With all requests that are in flight."""
        self._server.stop(None).wait()

    def ModelMetadata(self, request, context):
        self._find(request.name, request.version, context)
        return service_pb2.ModelMetadataResponse(name=request.name, versions=self.versions)

    def ModelConfig(self, request, context):
        self._find(request.name, request.version, context)
        return service_pb2.ModelConfigResponse(config=self.config)

    def ModelInfer(self, request, context):
        self._find(request.model_name, request.model_version, context)
        (given,) = request.inputs
        with self._lock:
            self.asked.append(tuple(given.shape))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            failing, self.unhealthy = self.unhealthy > 0, self.unhealthy - 1
        try:
            time.sleep(self.delay)
            if failing:
                context.abort(
                    grpc.StatusCode.INTERNAL, f"Stub process '{request.model_name}' is not healthy."
                )
            return self._answer(request, given)
        finally:
            with self._lock:
                self.at_once -= 1

    def _answer(self, request, given):
        pixels = np.frombuffer(request.raw_input_contents[0], _TYPES[given.datatype])
        image = pixels.reshape(given.shape)
        if (request.model_version or max(self.versions)) != "2":
            image = 255 - image if given.datatype == "UINT8" else -image
        image = image[:, self.crop :]
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        output = answer.outputs.add(name=self.config.output[0].name, datatype=given.datatype)
        output.shape.extend(image.shape)
        answer.raw_output_contents.append(image.tobytes())
        return answer

    def _find(self, name: str, version: str, context) -> None:
        said = f"Request for unknown model: '{name}'"
        if name != self.config.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{said} is not found")
        if version and version not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{said} version {version} is not found")
