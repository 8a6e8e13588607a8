"""A SIMULATION of the part of TensorRT's Python API that cgt uses.

Plans are computed by ONNX Runtime on the simulated device of libcuda.c. Tests put this module into
`sys.modules["tensorrt"]`. Networks, parsing, profiles and configuration are those of the real
TensorRT-RTX bindings, which have the same API. Their builder builds for SM 8.6 and logs the layers,
which the simulated inspector returns. Names and signatures are from TensorRT's Python API
reference.
"""

from __future__ import annotations

import ctypes
import json
import re
from typing import Any

import numpy as np
import onnxruntime as ort
import tensorrt_rtx as rtx
from tensorrt_rtx import (  # noqa: F401  the API that cgt finds here
    BuilderFlag,
    ComputeCapability,
    CudaGraphStrategy,
    DataType,
    DynamicShapesKernelSpecializationStrategy,
    HardwareCompatibilityLevel,
    IConvolutionLayer,
    IDeconvolutionLayer,
    ILogger,
    IProgressMonitor,
    LayerInformationFormat,
    LayerType,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    ProfilingVerbosity,
    TensorIOMode,
)

__version__ = "10.13.3.9"
MAGIC = b"simulated TensorRT plan\n"
_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
_LAYER = re.compile(r"Name: (.*?), LayerType: (\w+), Inputs: \[(.*)\], Constants: \[(.*)\], Out")
_TENSOR = re.compile(r"Name: ([^,]*), Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")


class Builder:
    """IBuilder; the plan holds the ONNX bytes, profiles and layers."""

    def __init__(self, logger: Any) -> None:
        self._log, self._real = logger, rtx.Builder(logger)
        self.profiles: list[Any] = []
        self.create_network = self._real.create_network
        _LastParsed.builder = self

    def create_builder_config(self) -> Any:
        config = self._real.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(rtx.ComputeCapability.SM86, 0)
        return config

    def create_optimization_profile(self) -> Any:
        self.profiles.append(self._real.create_optimization_profile())
        return self.profiles[-1]

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        if self._real.build_serialized_network(network, config) is None:
            return None
        names = [network.get_input(index).name for index in range(network.num_inputs)]
        profiles = [
            {name: [list(shape) for shape in profile.get_shape(name)] for name in names}
            for profile in self.profiles
        ]
        header = {"profiles": profiles, "layers": "\n".join(self._log.tables)}
        return MAGIC + json.dumps(header).encode() + b"\n" + _LastParsed.onnx


class _LastParsed:
    """The ONNX file that was parsed last."""

    onnx = b""
    builder: Any = None


class OnnxParser:
    """IParser of TensorRT-RTX, which also keeps the bytes of the file."""

    def __init__(self, network: Any, logger: Any) -> None:
        self._real = rtx.OnnxParser(network, logger)

    def parse_from_file(self, path: str) -> bool:
        with open(path, "rb") as file:
            _LastParsed.onnx = file.read()
        return bool(self._real.parse_from_file(path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Runtime:
    """IRuntime."""

    engine_host_code_allowed = False

    def __init__(self, logger: Any) -> None:
        self._log = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        if not serialized_engine.startswith(MAGIC):
            self._log.log(ILogger.Severity.ERROR, "Serialization assertion failed: magic tag")
            return None
        header, _, model = serialized_engine[len(MAGIC) :].partition(b"\n")
        return Engine(json.loads(header), model)


class Engine:
    """ICudaEngine."""

    def __init__(self, header: dict[str, Any], model: bytes) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.profiles, self.table = header["profiles"], header["layers"]
        self.inputs = {tensor.name: tensor for tensor in self.session.get_inputs()}
        self.tensors = self.inputs | {tensor.name: tensor for tensor in self.session.get_outputs()}
        self.num_io_tensors = len(self.tensors)
        self.num_optimization_profiles = len(self.profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return DataType.UINT8 if "uint8" in self.tensors[name].type else DataType.FLOAT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        return [rtx.Dims(shape) for shape in self.profiles[profile_index][name]]

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig()

    def create_execution_context(self, runtime_config: RuntimeConfig | None = None) -> Context:
        context = Context(self)
        context.runtime_config = runtime_config
        return context

    def create_engine_inspector(self) -> Inspector:
        return Inspector(self)


class RuntimeConfig:
    """IRuntimeConfig of TensorRT-RTX, with its defaults."""

    cuda_graph_strategy = CudaGraphStrategy.DISABLED
    dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY


class Inspector:
    """EngineInspector: the table of the builder in the format of TensorRT 10.

    As there, tensors of varying sizes have a type only if a context has fixed the sizes.
    """

    execution_context: Context | None = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_engine_information(self, format: Any) -> str:
        assert format == LayerInformationFormat.JSON
        layers = []
        is_fixed = self.execution_context is not None and self.execution_context.all_shapes_set
        is_fixed |= all(
            smallest == largest
            for profile in self._engine.profiles
            for smallest, _, largest in profile.values()
        )
        for line in self._engine.table.splitlines():
            found = _LAYER.match(line)
            if found:
                tensors = [
                    {
                        "Name": name,
                        "Dimensions": [int(side) for side in sides.split(",") if side],
                        "Format/Datatype": (
                            f"Row major linear {kind} format"
                            if is_fixed
                            else "N/A due to dynamic shapes"
                        ),
                    }
                    for name, sides, kind in _TENSOR.findall(found[3] + found[4])
                ]
                nodes = line.partition("Metadata: ")[2]
                layers.append(
                    {"Name": found[1], "LayerType": found[2], "Inputs": tensors, "Metadata": nodes}
                )
        return json.dumps({"Layers": layers})


class Context:
    """IExecutionContext: enqueues a callback that runs the model on device memory."""

    runtime_config: RuntimeConfig | None = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._profile = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self._callback = self._kind(self._run)
        self.failures: list[Exception] = []

    @property
    def all_shapes_set(self) -> bool:
        return self._shapes.keys() == self._engine.inputs.keys()

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        min_shape, _, max_shape = self._engine.profiles[self._profile][name]
        self._shapes[name] = tuple(shape)
        return all(
            low <= side <= high for low, side, high in zip(min_shape, shape, max_shape, strict=True)
        )

    def get_tensor_shape(self, name: str) -> Any:
        at = list(self._engine.tensors).index(name) % len(self._engine.inputs)
        of_input = self._shapes[list(self._engine.inputs)[at]]
        declared = self._engine.tensors[name].shape  # fixed where it is a number
        pairs = zip(declared, of_input, strict=True)
        return rtx.Dims([side if isinstance(side, int) else given for side, given in pairs])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        code = self._driver.cuLaunchHostFunc(ctypes.c_void_p(stream_handle), self._callback, None)
        return bool(code == 0)

    def _run(self, _: Any) -> None:
        def view(name: str, shape: tuple[int, ...]) -> np.ndarray:
            kind = np.dtype(_TYPES[self._engine.tensors[name].type])
            size = int(np.prod(shape)) * kind.itemsize
            memory = (ctypes.c_char * size).from_address(self._addresses[name])
            return np.frombuffer(memory, kind).reshape(shape)

        inputs = {name: view(name, self._shapes[name]) for name in self._engine.inputs}
        outputs = [name for name in self._engine.tensors if name not in inputs]
        for name, value in zip(outputs, self._engine.session.run(outputs, inputs), strict=True):
            view(name, value.shape)[...] = value
