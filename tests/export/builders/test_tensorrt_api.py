"""Every use of TensorRT's API in our sources against the real bindings: those of TensorRT-RTX,
which are installed, and the stubs of TensorRT 10.13, which are text."""

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
# Of TensorRT-RTX alone, reached for that format only.
RTX_ONLY = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"}


class Uses(ast.NodeVisitor):
    """Collects `x.attribute` for each x annotated as trt.Kind, with the number of arguments of a
    call (None where it is not called), and what is read of the module itself, `api.Name`."""

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


def uses() -> Uses:
    collected = Uses()
    for path in SOURCES:
        text = path.read_text()
        if "import tensorrt as trt" in text or "api: ModuleType" in text:
            collected.kinds.clear()
            collected.visit(ast.parse(text))
    return collected


def arguments(documentation: str) -> set[int]:
    """How many arguments a bound method takes, as its signatures in the docstring say."""
    counts = set()
    for signature in re.findall(r"^\s*(?:\d+\. )?\w+\(self[^)]*\)", documentation, re.MULTILINE):
        given = signature.count(",")
        counts |= set(range(given - signature.count(" = "), given + 1))
    return counts


def test_there_is_something_to_check() -> None:
    found = uses()
    assert len(found.members) > 40
    assert ("IExecutionContext", "execute_async_v3", 1) in found.members
    assert {"Builder", "LayerType.DEQUANTIZE", "BuilderFlag.TF32"} <= found.names


def test_against_tensorrt_rtx() -> None:
    for name in uses().names:
        target = tensorrt_rtx
        for part in name.split("."):
            target = getattr(target, part)
    for kind, member, count in uses().members:
        found = getattr(getattr(tensorrt_rtx, kind), member)
        if count is not None and not isinstance(found, property):
            accepted = arguments(found.__doc__ or "")
            assert count in accepted, f"{kind}.{member} takes {accepted} arguments, not {count}"


def test_against_tensorrt_10() -> None:
    if not STUBS.exists():
        pytest.skip("tensorrt-stubs is not installed (make does)")
    classes: dict[str, str] = {}
    for part in re.split(r"^class ", STUBS.read_text(), flags=re.MULTILINE)[1:]:
        classes.setdefault(re.match(r"\w+", part)[0], part)  # type: ignore[index]
    for name in uses().names - RTX_ONLY:
        kind, _, member = name.partition(".")
        assert kind in classes, name
        assert not member or re.search(rf"\b{member}\b", classes[kind]), name
    for kind, member, _ in uses().members:
        if member not in RTX_ONLY:
            assert re.search(rf"^    (def )?{member}\b", classes[kind], re.MULTILINE), member


def test_no_flag_of_precision() -> None:
    """TensorRT 11 has none: a build that leans on one is silently FP32."""
    flags = {name for name in uses().names if name.startswith("BuilderFlag.")}
    assert flags
    assert not flags & {f"BuilderFlag.{kind}" for kind in ("FP16", "INT8", "BF16", "FP8")}
    clean = " ".join(path.read_text() for path in SOURCES)
    for gone in ("IInt8Calibrator", "set_dynamic_range", "platform_has_fast", "OBEY_PRECISION"):
        assert gone not in clean
