"""The verb `cgt inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.image.geometry import format_size, parse_size
from cgt.runtime.models.checkpoint_options import CheckpointOptions

from ._options import (
    PATH,
    Verb,
    check_output_paths,
    json_option,
    opt,
    options_from,
    pop_checkpoint_options,
    require_extra,
    save_json,
)


@click.command("inspect", cls=Verb)
@click.argument("file", type=PATH)
@json_option("Options")
@opt(
    "--size",
    metavar="SIZE",
    group="Options",
    help="Count the operations at this size, 256 or WIDTHxHEIGHT.  [default: the model's]",
)
@options_from(CheckpointOptions)
def command(file: Path, size: str | None, json_path: Path | None, **flags: Any) -> None:
    """Describe FILE: a checkpoint of any trainer, an ONNX model, an engine, monet or vintage.

    For a checkpoint of another trainer, also print whether it is a match, a guess or rejected, the
    evidence for its architecture, and what it leaves open.
    """
    options = pop_checkpoint_options(flags, file)
    input_size = parse_size(size) if size else None
    if input_size == "source":
        raise UsageError("--size source means nothing here; give numbers")
    from cgt.runtime.inference.translator import resolve_model

    file = resolve_model(file)
    check_output_paths(json_path, inputs=(file,))
    description = _sizes_as_text(_describe_file(file, input_size, options))
    if json_path is not None:
        save_json(json.dumps(description, indent=1), json_path)
    else:
        _print_table(description)


def _describe_file(file: Path, size: Any, options: CheckpointOptions) -> dict[str, Any]:
    from cgt.runtime.models.onnx_reader import read_onnx_header

    if options.code is not None:
        require_extra("train", "torch")
        from cgt.trainer.importers.inspect_checkpoint import inspect_checkpoint

        return inspect_checkpoint(file, size, options)
    if file.suffix in (".engine", ".plan") or file.with_name(file.name + ".json").is_file():
        from cgt.export.inspect_model import inspect_engine

        _refuse_options(file, options)
        return inspect_engine(file)
    try:
        read_onnx_header(file)
    except ModelError:
        if file.suffix == ".onnx":
            raise
        require_extra("train", "torch")
        from cgt.trainer.importers.inspect_checkpoint import inspect_checkpoint

        return inspect_checkpoint(file, size, options)
    from cgt.export.inspect_model import inspect_onnx

    _refuse_options(file, options)
    return inspect_onnx(file, size)


def _refuse_options(file: Path, options: CheckpointOptions) -> None:
    if options.given:
        raise UsageError(f"{file} is no checkpoint; leave out {options.first_flag}")


def _sizes_as_text(value: Any) -> Any:
    """Replace each `size` (height, width) in nested dicts by "WIDTHxHEIGHT"."""
    if isinstance(value, list):
        return [_sizes_as_text(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: format_size(item)
        if key == "size" and isinstance(item, list | tuple)
        else _sizes_as_text(item)
        for key, item in value.items()
    }


def _print_table(description: dict[str, Any]) -> None:
    from rich.table import Table

    from cgt.runtime.utils.progress import open_console

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _description_rows(description):
        table.add_row(name, value)
    open_console().print(table)


def _description_rows(description: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("file", description["file"]), ("kind", description["kind"])]
    rows += [
        (name.replace("_", " "), str(description[name]))
        for name in ("written_by", "options", "opset", "note")
        if description.get(name)
    ]
    for network in description.get("networks", ()):
        rows += [("", ""), *_network_rows(network)]
        if network.get("assumptions"):
            rows.append(("to accept it", f"--assume, or --code {network['code']}"))
    for side in ("inputs", "outputs"):
        for tensor in description.get(side, ()):
            dims = ", ".join("any" if d is None else str(d) for d in tensor["shape"])
            rows.append((side[:-1], f"{tensor['name']} ({dims})"))
    if description.get("distill_report"):
        rows.append(("distilled", _format_value(description["distill_report"])))
    rows += _operation_rows(description)
    if "nodes" in description:
        rows.append(("nodes", ", ".join(f"{n} {kind}" for kind, n in description["nodes"].items())))
    for section in ("metadata", "engine"):
        rows += [
            (name, _format_value(value))
            for name, value in description.get(section, {}).items()
            if value not in ({}, "")
        ]
    return rows


def _network_rows(network: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(network["what"], network["name"] or "(the only one)")]
    if network["what"] != "generator":
        if network["what"] == "unknown":
            rows.append(("reading", "rejected"))
            if "code" in network:
                rows.append(("to build it", f"--code {network['code']}"))
        return [*rows, ("about", network["about"]), *_operation_rows(network)]
    architecture = network["architecture"]
    source, target = (
        network["domains"] if network["direction"] == "AtoB" else (network["domains"][::-1])
    )
    inputs, outputs = network["channels"]
    rows += [
        ("translates", f"{source} to {target} ({network['direction']})"),
        (
            "architecture",
            architecture["kind"]
            + (f", ngf {architecture['ngf']}" if "ngf" in architecture else "")
            + (f", class {architecture['class']}" if "class" in architecture else ""),
        ),
        ("channels", f"{inputs} in, {outputs} out"),
        (
            "norm",
            str(architecture.get("norm", network["norm"])).replace(
                "instance_affine", "affine instance"
            ),
        ),
        ("size", f"{network['size']}, sides a multiple of {network['multiple']}"),
        *_operation_rows(network),
    ]
    rows.append(("reading", network["reading"]))
    rows += [
        (f"assumed {one['name']}", f"{one['value']}; affects {one['effect']}; {one['flags']}")
        for one in network["assumptions"]
    ]
    rows += [("evidence", line) for line in network["evidence"]]
    rows += [("ambiguous", line) for line in network["ambiguities"]]
    if "comparison" in network:
        rows.append(("comparison", network["comparison"]))
    rows += [("warning", f"on a test image {line}") for line in network["warnings"]]
    return rows


def _operation_rows(description: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if "parameters" in description:
        rows.append(("parameters", f"{description['parameters'] / 1e6:.3f} M"))
    macs = description.get("macs")
    if macs and macs["count"] is not None:
        rows.append(("operations", f"{macs['count'] / 1e9:.3f} GMAC at {macs['size']}"))
    return rows


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_value(v)}" for name, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
