"""A simulated Triton server: gRPC's inference service over one model that inverts pictures, or in
its version 2 leaves them as they are.

It answers as the real one (2.51) was seen to, errors included, and can be stopped, made slow, or
made to answer wrongly. `tests/export/builders/test_triton_server.py` meets the real one.
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
    """config: the model's config.pbtxt. Public attributes may be changed while it runs."""

    def __init__(
        self, config: Path | str, versions: tuple[str, ...] = ("1",), port: int = 0
    ) -> None:
        text = config.read_text() if isinstance(config, Path) else config
        self.config = text_format.Parse(text, model_config_pb2.ModelConfig())
        self.versions = versions
        self.delay = 0.0  # seconds
        self.missing_rows = 0  # rows missing in what it answers
        self.unhealthy_requests = 0  # requests to fail as after the death of the model's process
        self.request_shapes: list[tuple[int, ...]] = []  # shapes of requests
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
        """With all requests that are in flight."""
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
            time.sleep(self.delay)
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
