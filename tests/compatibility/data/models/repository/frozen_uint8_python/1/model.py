"""A model of Triton's Python backend, run by cgt. `cgt export` wrote this file.

It wants `pip install cyclegan-toolkit` in the Python that the server runs models with. Frames of
any size that the model takes come as uint8 N,H,W,3 RGB and go as the same. `parameters` of
config.pbtxt: `engine` is that of `cgt translate --engine`.

A server from before NumPy 2 wants `pip install 'numpy<2'` there: else its answers are empty.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from cgt.runtime import Translator
from cgt.runtime.errors import CgtError
from cgt.runtime.preprocess import U8

_SIZES = 4  # of pictures, for which a compiled network is kept


class _Network:
    """The model for pictures of one size, on as many threads as the engine likes."""

    def __init__(self, model: Path, engine: str, height: int, width: int) -> None:
        self._translator = Translator(
            model, engine=engine, frame=(height, width), size=(height, width), goal="throughput"
        )
        self._threads = ThreadPoolExecutor(self._translator.workers)

    def __call__(self, picture: U8) -> Future[U8]:
        return self._threads.submit(lambda: self._translator.timed([picture])[0][0])

    def close(self) -> None:
        self._threads.shutdown()
        self._translator.close()


class TritonPythonModel:
    """What the backend asks for."""

    def initialize(self, args: dict[str, Any]) -> None:
        config = json.loads(args["model_config"])
        self._input, self._output = (config[way][0]["name"] for way in ("input", "output"))
        self._engine = config["parameters"]["engine"]["string_value"]
        self._model = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._networks: OrderedDict[tuple[int, int], _Network] = OrderedDict()
        height, width = json.loads(config["parameters"]["cgt"]["string_value"])["size"]
        self._network(height, width)  # what does not run at all fails now

    def execute(self, requests: list[Any]) -> list[Any]:
        """Every picture by itself, so that its translation does not depend on its neighbours."""
        asked = [self._begin(request) for request in requests]
        return [self._end(pictures) for pictures in asked]

    def finalize(self) -> None:
        while self._networks:
            self._networks.popitem()[1].close()

    def _begin(self, request: Any) -> list[Future[U8]] | CgtError:
        pictures = triton.get_input_tensor_by_name(request, self._input).as_numpy()
        try:
            return [self._network(*picture.shape[:2])(picture) for picture in pictures]
        except CgtError as error:
            return error

    def _end(self, pictures: list[Future[U8]] | CgtError) -> Any:
        try:
            if isinstance(pictures, CgtError):
                raise pictures
            batch = np.stack([picture.result() for picture in pictures])
        except CgtError as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        return triton.InferenceResponse([triton.Tensor(self._output, batch)])

    def _network(self, height: int, width: int) -> _Network:
        size = height, width
        if size not in self._networks:
            while len(self._networks) >= _SIZES:
                self._networks.popitem(last=False)[1].close()
            self._networks[size] = _Network(self._model, self._engine, height, width)
        self._networks.move_to_end(size)
        return self._networks[size]
