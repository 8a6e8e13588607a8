"""Use of TensorRT's API in the sources, checked against TensorRT-RTX and TensorRT 10.13.

The bindings of TensorRT-RTX are installed; those of TensorRT 10.13 are text stubs.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import tensorrt_rtx

import cgt.export
import cgt.runtime

ROOTS = (Path(str(cgt.export.__file__)).parent, Path(str(cgt.runtime.__file__)).parent)
SOURCES = sorted(path for root in ROOTS for path in root.rglob("*.py"))
STUBS = Path(sys.prefix) / "stubs" / "tensorrt_bindings" / "tensorrt.pyi"
# Only in TensorRT-RTX, and used for that format only.
RTX_ONLY = {
    *("ComputeCapability", "num_compute_capabilities", "set_compute_capability"),
    *("create_runtime_config", "cuda_graph_strategy", "CudaGraphStrategy"),
    "dynamic_shapes_kernel_specialization_strategy",
    *(
        "DynamicShapesKernelSpecializationStrategy",
        "DynamicShapesKernelSpecializationStrategy.EAGER",
    ),
}


class ApiUses(ast.NodeVisitor):
    """Collects uses of the API.

    It records `x.attribute` for each x annotated as trt.Kind, with the number of arguments of a
    call (None for other uses), and the names read from the module, `api.Name`.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.members: set[tuple[str, str, int | None]] = set()
        self.names: set[str] = set()
        self.calls: dict[ast.Attribute, int] = {}

    def annotate(self, name: str, annotation: ast.expr | None) -> None:
        found = re.search(r"\btrt\.(\w+)", ast.unparse(annotation)) if annotation else None
        if found:
            self.kinds[name] = found[1]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outside = {name: kind for name, kind in self.kinds.items() if name.startswith("self.")}
        self.kinds = dict(outside)
        self.generic_visit(node)
        inside = {name: kind for name, kind in self.kinds.items() if name.startswith("self.")}
        self.kinds = outside | inside

    def visit_arg(self, node: ast.arg) -> None:
        self.annotate(node.arg, node.annotation)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.annotate(ast.unparse(node.target), node.annotation)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and not any(
            isinstance(argument, ast.Starred) for argument in node.args
        ):
            self.calls[node.func] = len(node.args)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = ast.unparse(node.value)
        if node.attr.startswith("__"):
            return
        if owner in self.kinds:
            self.members.add((self.kinds[owner], node.attr, self.calls.get(node)))
        elif owner in ("api", "self._api"):
            self.names.add(node.attr)
        elif re.fullmatch(r"(self\._)?api\.\w+", owner):
            self.names.add(f"{owner.rpartition('.')[2]}.{node.attr}")
        self.generic_visit(node)


def api_uses() -> ApiUses:
    collected = ApiUses()
    for path in SOURCES:
        text = path.read_text()
        if "import tensorrt as trt" in text or "api: ModuleType" in text:
            collected.kinds.clear()
            collected.visit(ast.parse(text))
    return collected


def argument_counts(documentation: str) -> set[int]:
    """Return how many arguments a bound method takes, by the signatures in its docstring."""
    counts = set()
    for signature in re.findall(r"^\s*(?:\d+\. )?\w+\(self[^)]*\)", documentation, re.MULTILINE):
        count = signature.count(",")
        counts |= set(range(count - signature.count(" = "), count + 1))
    return counts


def test_uses_are_found() -> None:
    found = api_uses()
    assert len(found.members) > 40
    assert ("IExecutionContext", "execute_async_v3", 1) in found.members
    assert {"Builder", "LayerType.DEQUANTIZE", "BuilderFlag.TF32"} <= found.names


def test_uses_exist_in_tensorrt_rtx() -> None:
    for name in api_uses().names:
        target = tensorrt_rtx
        for attribute in name.split("."):
            target = getattr(target, attribute)
    for kind, member, count in api_uses().members:
        found = getattr(getattr(tensorrt_rtx, kind), member)
        if count is not None and not isinstance(found, property):
            accepted = argument_counts(found.__doc__ or "")
            assert count in accepted, f"{kind}.{member} takes {accepted} arguments, not {count}"


def test_uses_exist_in_tensorrt_10() -> None:
    if not STUBS.exists():
        pytest.skip("tensorrt-stubs is not installed (make does)")
    classes: dict[str, str] = {}
    for body in re.split(r"^class ", STUBS.read_text(), flags=re.MULTILINE)[1:]:
        classes.setdefault(re.match(r"\w+", body)[0], body)  # type: ignore[index]
    for name in api_uses().names - RTX_ONLY:
        kind, _, member = name.partition(".")
        assert kind in classes, name
        assert not member or re.search(rf"\b{member}\b", classes[kind]), name
    for kind, member, _ in api_uses().members:
        if member not in RTX_ONLY:
            assert re.search(rf"^    (def )?{member}\b", classes[kind], re.MULTILINE), member


def test_no_precision_flags() -> None:
    """TensorRT 11 has none: a build that relies on one is silently FP32."""
    flags = {name for name in api_uses().names if name.startswith("BuilderFlag.")}
    assert flags
    assert not flags & {f"BuilderFlag.{kind}" for kind in ("FP16", "INT8", "BF16", "FP8")}
    text = " ".join(path.read_text() for path in SOURCES)
    for removed in ("IInt8Calibrator", "set_dynamic_range", "platform_has_fast", "OBEY_PRECISION"):
        assert removed not in text
