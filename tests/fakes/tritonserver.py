"""A simulated Triton server: the gRPC inference service with one model.

Version 1 of the model inverts images, version 2 returns them unchanged. The server responds like
the real one (2.51), errors included. Tests can stop it, slow it down, or make its outputs wrong.
`tests/export/builders/test_triton_server.py` uses the real server.
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


class FakeTritonServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A running server; `config` is a config.pbtxt. Public attributes may change while it runs."""

    def __init__(
        self, config: Path | str, versions: tuple[str, ...] = ("1",), port: int = 0
    ) -> None:
        text = config.read_text() if isinstance(config, Path) else config
        self.config = text_format.Parse(text, model_config_pb2.ModelConfig())
        self.versions = versions
        self.delay_s = 0.0  # before each response
        self.missing_rows = 0  # rows missing in the outputs
        self.unhealthy_requests = 0  # requests that fail as if the model process had died
        self.request_shapes: list[tuple[int, ...]] = []
        self.in_flight = self.max_in_flight = 0
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    @property
    def uri(self) -> str:
        return f"triton://127.0.0.1:{self.port}/{self.config.name}"

    def kill(self) -> None:
        """Stop at once; requests in flight fail."""
        self._server.stop(None).wait()

    def ModelMetadata(self, request, context):
        self._check_model(request.name, request.version, context)
        return service_pb2.ModelMetadataResponse(name=request.name, versions=self.versions)

    def ModelConfig(self, request, context):
        self._check_model(request.name, request.version, context)
        return service_pb2.ModelConfigResponse(config=self.config)

    def ModelInfer(self, request, context):
        self._check_model(request.model_name, request.model_version, context)
        (tensor,) = request.inputs
        with self._lock:
            self.request_shapes.append(tuple(tensor.shape))
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            failing, self.unhealthy_requests = (
                self.unhealthy_requests > 0,
                self.unhealthy_requests - 1,
            )
        try:
            time.sleep(self.delay_s)
            if failing:
                context.abort(
                    grpc.StatusCode.INTERNAL, f"Stub process '{request.model_name}' is not healthy."
                )
            return self._infer(request, tensor)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _infer(self, request, tensor):
        pixels = np.frombuffer(request.raw_input_contents[0], _TYPES[tensor.datatype])
        image = pixels.reshape(tensor.shape)
        if (request.model_version or max(self.versions)) != "2":
            image = 255 - image if tensor.datatype == "UINT8" else -image
        image = image[:, self.missing_rows :]
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        output = response.outputs.add(name=self.config.output[0].name, datatype=tensor.datatype)
        output.shape.extend(image.shape)
        response.raw_output_contents.append(image.tobytes())
        return response

    def _check_model(self, name: str, version: str, context) -> None:
        message = f"Request for unknown model: '{name}'"
        if name != self.config.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{message} is not found")
        if version and version not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{message} version {version} is not found")
