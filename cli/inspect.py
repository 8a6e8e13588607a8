"""cgt inspect"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.geometry import parse_size

from .extras import need


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--size", help="256 or HEIGHTxWIDTH, at which to count operations.")
@click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
def command(file: Path, size: str | None, as_json: bool) -> None:
    """Say what FILE is: a checkpoint of any trainer, an ONNX model or an engine.

    For a checkpoint also what was inferred from which evidence, and what it leaves open.
    """
    sides = parse_size(size) if size else None
    if sides == "source":
        raise UsageError("--size source means nothing here; give numbers")
    facts = _describe(file, sides)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        _print(facts)


def _describe(file: Path, size: Any) -> dict[str, Any]:
    from cgt.runtime.onnxfile import read_onnx

    if file.suffix in (".engine", ".plan") or file.with_name(file.name + ".json").is_file():
        from cgt.export.describe import describe_engine

        return describe_engine(file)
    try:
        read_onnx(file)
    except ModelError:
        if file.suffix == ".onnx":
            raise
        need("train", "torch")
        from cgt.trainer.describe import describe_checkpoint

        return describe_checkpoint(file, size)
    from cgt.export.describe import describe_onnx

    return describe_onnx(file, size)


def _print(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        table.add_row(name, value)
    Console(markup=False, highlight=False).print(table)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("file", facts["file"]), ("kind", facts["kind"])]
    rows += [
        (name.replace("_", " "), str(facts[name]))
        for name in ("written_by", "options", "opset", "note")
        if facts.get(name)
    ]
    for network in facts.get("networks", ()):
        rows += [("", ""), *_network(network)]
    for side in ("inputs", "outputs"):
        for tensor in facts.get(side, ()):
            dims = ", ".join("any" if d is None else str(d) for d in tensor["shape"])
            rows.append((side[:-1], f"{tensor['name']} ({dims})"))
    if facts.get("distilled"):
        rows.append(("distilled", _value(facts["distilled"])))
    rows += _operations(facts)
    if "nodes" in facts:
        rows.append(("nodes", ", ".join(f"{n} {kind}" for kind, n in facts["nodes"].items())))
    for part in ("artifact", "engine"):
        rows += [
            (name, _value(value) if name != "size" else _sides(value))
            for name, value in facts.get(part, {}).items()
            if value not in ({}, "")
        ]
    return rows


def _network(network: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(network["what"], network["name"] or "(the only one)")]
    if network["what"] != "generator":
        return [*rows, ("about", network["about"]), *_operations(network)]
    architecture = network["architecture"]
    source, target = (
        network["domains"] if network["direction"] == "AtoB" else (network["domains"][::-1])
    )
    inputs, outputs = network["channels"]
    rows += [
        ("translates", f"{source} to {target} ({network['direction']})"),
        ("architecture", f"{architecture['kind']}, ngf {architecture['ngf']}"),
        ("channels", f"{inputs} in, {outputs} out"),
        ("norm", architecture["norm"].replace("instance_affine", "affine instance")),
        ("size", f"{_sides(network['size'])}, sides a multiple of {network['multiple']}"),
        *_operations(network),
    ]
    rows += [("evidence", line) for line in network["evidence"]]
    rows += [("ambiguous", line) for line in network["ambiguous"]]
    rows += [("warning", f"on a test picture {line}") for line in network["doubts"]]
    return rows


def _operations(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if "parameters" in facts:
        rows.append(("parameters", f"{facts['parameters'] / 1e6:.3f} M"))
    macs = facts.get("macs")
    if macs and macs["count"] is not None:
        rows.append(("operations", f"{macs['count'] / 1e9:.3f} GMAC at {_sides(macs['size'])}"))
    return rows


def _sides(value: Any) -> str:
    return "x".join(map(str, value))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(v)}" for name, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
