"""Model of Triton's Python backend that runs cgt. `cgt export` wrote this file.

It requires `pip install cyclegan-toolkit` in the Python that the server runs models with. Inputs
and outputs are uint8 (N, H, W, 3) RGB frames of any size that the model takes. The parameter
`engine` in config.pbtxt is that of `cgt translate --engine`.

A server from before NumPy 2 requires `pip install 'numpy<2'` there; its outputs are empty
otherwise.
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
from cgt.runtime.image.preprocess import U8

_MAX_CACHED_SIZES = 4  # frame sizes with a compiled network in memory


class _FixedSizeTranslator:
    """The model for frames of one size, on as many threads as the engine recommends."""

    def __init__(self, model: Path, engine: str, height: int, width: int) -> None:
        self._translator = Translator(
            model,
            engine=engine,
            frame_size=(height, width),
            size=(height, width),
            performance_hint="throughput",
        )
        self._pool = ThreadPoolExecutor(self._translator.workers)

    def __call__(self, image: U8) -> Future[U8]:
        return self._pool.submit(lambda: self._translator.translate_batch([image])[0][0])

    def close(self) -> None:
        self._pool.shutdown()
        self._translator.close()


class TritonPythonModel:
    """Interface that the Python backend calls."""

    def initialize(self, args: dict[str, Any]) -> None:
        config = json.loads(args["model_config"])
        self._input, self._output = (config[key][0]["name"] for key in ("input", "output"))
        self._engine = config["parameters"]["engine"]["string_value"]
        self._model = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._translators: OrderedDict[tuple[int, int], _FixedSizeTranslator] = OrderedDict()
        height, width = json.loads(config["parameters"]["cgt"]["string_value"])["size"]
        self._get_translator(height, width)  # fails now if the model does not run at all

    def execute(self, requests: list[Any]) -> list[Any]:
        """Translate each frame independently, so that its output does not depend on its batch."""
        submitted = [self._submit(request) for request in requests]
        return [self._make_response(images) for images in submitted]

    def finalize(self) -> None:
        while self._translators:
            self._translators.popitem()[1].close()

    def _submit(self, request: Any) -> list[Future[U8]] | CgtError:
        images = triton.get_input_tensor_by_name(request, self._input).as_numpy()
        try:
            return [self._get_translator(*image.shape[:2])(image) for image in images]
        except CgtError as error:
            return error

    def _make_response(self, futures: list[Future[U8]] | CgtError) -> Any:
        try:
            if isinstance(futures, CgtError):
                raise futures
            batch = np.stack([image.result() for image in futures])
        except CgtError as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        return triton.InferenceResponse([triton.Tensor(self._output, batch)])

    def _get_translator(self, height: int, width: int) -> _FixedSizeTranslator:
        size = height, width
        if size not in self._translators:
            while len(self._translators) >= _MAX_CACHED_SIZES:
                self._translators.popitem(last=False)[1].close()
            self._translators[size] = _FixedSizeTranslator(self._model, self._engine, height, width)
        self._translators.move_to_end(size)
        return self._translators[size]
