"""Safe checkpoint reader: loads PyTorch and safetensors files without executing code in them."""

from __future__ import annotations

import io
import json
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from cgt.runtime.errors import CheckpointError, MissingDependency, ModelError
from cgt.runtime.models.onnx_reader import read_onnx_header

# First bytes of other file formats, and what to report.
_KNOWN_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the weights; run `git lfs pull` in its repository",
    ),
    (
        b"\x89HDF\r\n",
        "is an HDF5 file of Keras or TensorFlow; only PyTorch checkpoints are supported",
    ),
    (b"\x89PNG", "is a PNG image"),
    (b"\xff\xd8\xff", "is a JPEG image"),
    (b"\x93NUMPY", "is a NumPy array"),
    (b"\x1f\x8b", "is a gzip archive; unpack it first"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (b"ptrt", "is a TensorRT engine, built from a model already; give the checkpoint behind it"),
    (b"ftrt", "is a TensorRT engine, built from a model already; give the checkpoint behind it"),
    (b"GGUF", "is a GGUF language model"),
)
# Globals that PyTorch's safe loading allows.
_SAFE_GLOBALS_RE = re.compile(
    r"(collections\.OrderedDict|torch\._utils\.|torch\.\w+$|torch\.storage\.)"
)
_TEXT_RE = re.compile(rb"[\t\n\r\x20-\x7e\xa0-\xff]+")
_HTML_OR_XML_RE = re.compile(rb"\s*<(!doctype|html|head|\?xml|script)", re.IGNORECASE)


def read_payload(path: Path) -> Any:
    """Read what torch.save or safetensors wrote, with tensors on the CPU.

    Raises:
        CheckpointError: the file is something else, which the message names, or is damaged.
        MissingDependency: the file needs safetensors, which is not installed.
    """
    head = _first_bytes(path)
    other_format = _describe_other_format(path, head)
    if other_format:
        raise CheckpointError(f"{path} {other_format}")
    if _is_safetensors(head):
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols of files that fail to load
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can fail anywhere in the unpickler
        raise CheckpointError(f"{path} {_load_failure_reason(path, head)}") from None


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in (".pth", ".pt"))
        listed = f", such as {inside[0]}" if inside else ""
        raise CheckpointError(f"{path} is a folder; give one checkpoint file{listed}")
    try:
        with open(path, "rb") as file:
            return file.read(512)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing; give the latest.pth of a run of `cgt train`, or a generator of "
            "another trainer"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _describe_other_format(path: Path, head: bytes) -> str | None:
    """Return what a file that is not a checkpoint is, as a predicate; None if it may be one."""
    if not head:
        return "is empty; the download or copy was interrupted"
    for magic, what in _KNOWN_MAGIC:
        if head.startswith(magic):
            return what
    if _HTML_OR_XML_RE.match(head):
        return "is a web page (HTML or XML) instead of weights; open the link in a browser"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model; only PyTorch checkpoints are supported"
    if head[:4] == b"PK\x03\x04":
        return _describe_zip(path)
    if path.suffix in (".index", ".meta") or re.search(r"\.data-\d+-of-\d+$", path.name):
        return "is part of a TensorFlow checkpoint; only PyTorch checkpoints are supported"
    if _is_onnx(path):
        return (
            "is an ONNX model, which is already exported; use it with `cgt translate --model` or "
            "`cgt inspect`"
        )
    if b"tensorflow" in head or path.name == "saved_model.pb":
        return "is a TensorFlow model; only PyTorch checkpoints are supported"
    if not head.strip(b"\0"):
        return "starts with zeros; the copy or download was interrupted"
    if _TEXT_RE.fullmatch(head):
        return "is a text file, not weights"
    return None


def _describe_zip(path: Path) -> str | None:
    """Return what a ZIP file that PyTorch did not write is; None if PyTorch may have."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "is truncated or damaged: its table of contents is missing; download it again"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        if any("/code/" in name for name in names):
            return (
                "is a TorchScript program, which contains code; save the state_dict() of the "
                "network with its Python code instead"
            )
        return None
    if any("keras" in name or name == "model.weights.h5" for name in names):
        return "is a Keras model; only PyTorch checkpoints are supported"
    if names and all(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays (.npz)"
    weights = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
    inside = f" (it contains {weights[0]})" if weights else ""
    return f"is a ZIP archive that PyTorch did not write; unpack it first{inside}"


def _is_onnx(path: Path) -> bool:
    try:
        read_onnx_header(path)
    except ModelError:
        return False
    return True


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise MissingDependency(
            f"{path} is a .safetensors file; install the package: pip install safetensors"
        ) from None
    try:
        # safetensors sorts by type first, so the counters of norms would come first.
        return dict(sorted(load_file(path).items()))
    except (SafetensorError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path} is a damaged .safetensors file ({reason}); download it again"
        ) from None


def _load_failure_reason(path: Path, head: bytes) -> str:
    """Return why loading failed, as a predicate."""
    for name in _pickle_globals(path):
        if not _SAFE_GLOBALS_RE.match(name):
            return (
                f"would run {name} when it is loaded; cgt runs no code from a file. If you trust "
                'it, save only its weights in its own project: python -c "import torch; '
                f"c = torch.load('{path.name}', map_location='cpu', weights_only=False); "
                "torch.save(c.state_dict() if hasattr(c, 'state_dict') else {k: v for k, v in "
                "c.items() if hasattr(v, 'items')}, 'weights.pth')\""
            )
    if head[:1] == b"\x80" or head[:2] == b"PK":
        return (
            "does not load as a PyTorch checkpoint: it is truncated or damaged; download it again"
        )
    return "does not load as a PyTorch checkpoint; it is damaged or has another format"


def _pickle_globals(path: Path) -> list[str]:
    """Return module.name of everything that loading would import, as far as the file is readable.

    pickletools reads the instructions of a pickle without executing them.
    """
    names: list[str] = []
    strings: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                data = archive.read(inside)
        else:
            with open(path, "rb") as file:
                data = file.read(16 << 20)
        stream = io.BytesIO(data)
        while stream.tell() < len(data):  # PyTorch's older format is a sequence of pickles
            for instruction, argument, _ in pickletools.genops(stream):
                if instruction.name == "GLOBAL":
                    names.append(str(argument).replace(" ", "."))
                elif instruction.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except Exception:  # tensor data follows, or the file is damaged here
        pass
    return names
