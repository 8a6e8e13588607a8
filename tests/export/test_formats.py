"""Registry of formats, engines built from ONNX files, and errors."""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.graphs import write_translator_model

from cgt.export import build_engine
from cgt.export.formats import FORMATS, BuildOptions, format_markdown_table
from cgt.export.plan import apply_format_defaults
from cgt.runtime import Translator
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import MissingDependency, ModelError, SinkError, UsageError
from cgt.runtime.models import sidecar
from cgt.runtime.models.metadata import read_metadata
from conftest import run_cgt

MANUAL = Path(__file__).parents[2] / "docs" / "tensorrt.md"


def test_registry_is_consistent() -> None:
    fields = {field.name for field in dataclasses.fields(BuildOptions)}
    assert {option for fmt in FORMATS.values() for option in fmt.options} == fields
    for name, fmt in FORMATS.items():
        assert fmt.name == name
        assert (fmt.suffix in sidecar.ENGINE_SUFFIXES) == bool(fmt.builder and fmt.suffix)
    help_text = run_cgt("export", "--help").stdout
    for name in FORMATS:
        assert name in help_text


def test_manuals_contain_the_table() -> None:
    assert format_markdown_table() in MANUAL.read_text()
    readme = (MANUAL.parents[1] / "README.md").read_text()
    for fmt in FORMATS.values():
        assert f"--format {fmt.name}" in readme or not fmt.builder, fmt.name


def test_building_needs_no_torch(tmp_path: Path) -> None:
    """The machine that runs an engine need not have torch."""
    onnx = write_translator_model(tmp_path / "m.onnx")
    code = (
        "import sys; from cgt.cli.main import cgt\n"
        f"cgt(['export', {str(onnx)!r}, '--format', 'openvino'], standalone_mode=False)\n"
        "assert not {'torch', 'onnx', 'tensorrt_rtx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_openvino_files_match_the_onnx_file(tmp_path: Path, io: str) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", io=io, domains=("horse", "zebra"))
    done = run_cgt("export", onnx, "--format", "openvino")
    assert done.returncode == 0, done.stderr
    path = onnx.with_suffix(".xml")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("m.bin", "m.onnx", "m.xml", "m.xml.json")
    ]
    assert read_metadata(path) == read_metadata(onnx)
    shape = BatchShape(1, 3, 32, 48, io)
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, shape.image_shape, np.uint8)
    if io == "float":
        batch = (batch / 127.5 - 1).astype(np.float32)
    outs = []
    for model in (onnx, path):
        outs.append(np.zeros_like(batch))
        with open_engine(model, shape, "openvino", precision="fp32") as engine:
            engine.infer(batch, outs[-1])
    assert (outs[0] == outs[1]).all()
    assert outs[0].std() > 0.1


def test_translate_runs_built_engines(tmp_path: Path, clip: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "openvino")
    done = run_cgt("translate", clip, "-o", tmp_path / "out.mp4", "--model", path)
    assert done.returncode == 0, done.stderr
    with Translator(path) as translator:
        assert translator(np.zeros((32, 32, 3), np.uint8)).shape == (32, 32, 3)


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_modified_files_are_rejected(tmp_path: Path, suffix: str) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "openvino")
    changed = path.with_suffix(suffix)
    changed.write_bytes(changed.read_bytes()[:-1] + b" ")
    with pytest.raises(ModelError, match=rf"m\{suffix} is not the file .*cgt export m\.onnx"):
        open_engine(path, BatchShape(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no m.xml.json beside it"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"engine": {}}', "is damaged"),
    ],
)
def test_missing_or_damaged_sidecar(tmp_path: Path, text: str | None, message: str) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "openvino")
    sidecar_file = sidecar.sidecar_path(path)
    if text is None:
        sidecar_file.unlink()
    else:
        sidecar_file.write_text(text)
    with pytest.raises(ModelError, match=message):
        read_metadata(path)
    done = run_cgt("bench", "--model", path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_sidecar_describes_the_engine(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", domains=("horse", "zebra"))
    path = build_engine(onnx, "openvino")
    values = json.loads(sidecar.sidecar_path(path).read_text())
    engine = values.pop("engine")
    assert values == json.loads(read_metadata(onnx).to_json())
    assert engine["onnx_sha256"] == sidecar.sha256(onnx.read_bytes())
    for suffix in (".xml", ".bin"):
        assert engine["files"][suffix] == sidecar.sha256(path.with_suffix(suffix).read_bytes())


def test_default_format_names_the_command_for_an_engine(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    done = run_cgt("export", onnx)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.endswith(
        "TensorRT engine, on the machine that runs it: cgt export m.onnx --format tensorrt"
    )


@pytest.mark.slow
def test_one_checkpoint_to_two_formats(run_folder: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("export", "--ckpt", run_folder / "latest.pth", "--format", "openvino"),
        *("--format", "onnx", "-o", tmp_path / "m.xml"),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [
        *(".bin", ".json", ".onnx", ".xml")
    ]
    assert read_metadata(tmp_path / "m.xml") == read_metadata(tmp_path / "m.onnx")


@pytest.mark.slow
def test_format_defaults(run_folder: Path, tmp_path: Path) -> None:
    onnx = tmp_path / "m.onnx"
    done = run_cgt(
        *("export", "--ckpt", run_folder / "latest.pth", "-o", tmp_path / "m.engine"),
        *("--format", "tensorrt-rtx", "--compute-capability", "86"),
    )
    assert done.returncode == 0, done.stderr
    assert "defaults of tensorrt-rtx: --fp16 --io uint8" in done.stdout
    for path in (onnx, tmp_path / "m.engine"):
        assert (read_metadata(path).precision, read_metadata(path).io) == ("fp16", "uint8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either --ckpt FILE or a MODEL.onnx"),
        (["m.onnx", "--ckpt", "latest.pth"], 2, "give either --ckpt FILE or a MODEL.onnx"),
        (["none.onnx"], 1, "model none.onnx is missing"),
        (["latest.pth"], 2, "no ONNX model; if it is weights: --ckpt latest.pth"),
        (["m.engine"], 2, "is an engine already; give the ONNX file behind it"),
        (["m.onnx", "--fp16"], 2, "--fp16 goes with --ckpt; m.onnx is a graph already"),
        (["m.onnx", "--format", "openvino", "--size", "64"], 2, "--size goes with --ckpt"),
        (["m.onnx", "--format", "tensorrt"], 3, "tensorrt"),
        (["m.onnx", "--format", "abacus"], 2, "'abacus' is not one of"),
        (["m.onnx", "--dla", "0"], 2, "--dla was removed: each norm"),
        (["m.onnx", "--workspace", "64"], 2, "workspace is for --format tensorrt or tensorrt-rtx"),
        (
            ["m.onnx", "--format", "openvino", "--eval-images", "."],
            2,
            "eval images is for --format litert only",
        ),
        (["m.onnx", "--format", "openvino", "-o", "m.engine"], 2, "must end in .onnx or .xml"),
        (["m.onnx", "--format", "openvino", "-o", "no/m.xml"], 1, "the folder no is missing"),
        (["none.onnx", "--format", "openvino"], 1, "model none.onnx is missing"),
        (["text.onnx", "--format", "openvino"], 1, "is not an ONNX model"),
        (
            ["m.onnx", "--format", "tensorrt-rtx", "--compute-capability", "87"],
            2,
            "does not build for compute capability 87; use one of 75",
        ),
        (
            ["m.onnx", "--format", "tensorrt-rtx", "--compute-capability", "new"],
            2,
            "new is not like 86",
        ),
        (["m.onnx", "--format", "tensorrt-rtx"], 2, "give the GPUs to build for"),
        (
            ["m.onnx", "--format", "tensorrt-rtx", "--timing-cache", "t"],
            2,
            "timing cache is for --format tensorrt only",
        ),
    ],
)
def test_bad_requests(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    write_translator_model(tmp_path / "m.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "latest.pth").write_bytes(b"PK\3\4 some weights")
    before = sorted(tmp_path.iterdir())
    done = run_cgt("export", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_python_call_refuses_the_same(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    for name in ("abacus", "onnx"):
        with pytest.raises(UsageError):
            build_engine(onnx, name)
    with pytest.raises(UsageError, match=r"must end in \.xml"):
        build_engine(onnx, "openvino", tmp_path / "m.engine")
    with pytest.raises(SinkError, match="is missing"):
        build_engine(onnx, "openvino", tmp_path / "none" / "m.xml")
    with pytest.raises(MissingDependency):
        build_engine(onnx, "tensorrt")


@pytest.mark.parametrize("kind", ["openvino", "tensorrt-rtx"])
def test_full_disk(tmp_path: Path, kind: str) -> None:
    """Limit files to 2 kB: the system reports it as it does a full disk."""
    onnx = write_translator_model(tmp_path / "m.onnx")
    limit = (2000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    capability = ["--compute-capability", "86"] if kind == "tensorrt-rtx" else []
    done = run_cgt(
        *("export", onnx, "--format", kind, *capability),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [onnx]


@pytest.mark.parametrize(
    ("formats", "flags", "fp32_norm"),
    [
        (("openvino",), {"fp16": True}, True),
        (("openvino",), {"fp16": True, "fp16_norm": True}, False),
        (("openvino",), {"int8": True}, False),
        (("tensorrt-rtx", "openvino"), {"fp16": True}, False),
        ((), {"fp16": True}, False),
    ],
)
def test_norms_of_fp16_graphs_for_openvino_stay_fp32(
    formats: tuple[str, ...], flags: dict[str, bool], fp32_norm: bool
) -> None:
    """The other form is no faster there; on a GPU it moves half as many bytes."""
    precisions = dict.fromkeys(("fp32", "fp16", "bf16", "int8", "mixed"), False)
    options: dict[str, object] = {"io": None, "norm": "instance"}
    options |= precisions | {"fp16_norm": False, "fp32_norm": False} | flags
    lines: list[str] = []
    apply_format_defaults(options, formats, lines.append)
    assert options["fp32_norm"] == fp32_norm
    assert any("--fp32-norm" in line for line in lines) == fp32_norm
