"""`cgt translate` against the loop that one would write by hand, in one run.

    python -m cgt.benchmarks.peers [VIDEO] [--model FILE] [--size 256] [--rounds 3] [--json FILE]

The loop is what tutorials show: OpenCV reads, resizes (bilinear, aliased) and writes (mp4v), ONNX
Runtime computes in fp32 with its defaults, one frame after the other. Both translate the same
frames with the same network at the same size. Rounds are interleaved, and the ratio is the median
of the rounds' ratios, so that a noisy machine disturbs both alike.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from cgt.runtime.clip import sample_clip
from cgt.runtime.geometry import Size, parse_size
from cgt.runtime.opencv import cv2
from cgt.runtime.pipeline import limited, run
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import open_source
from cgt.runtime.stats import Stats
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translator import BUNDLED_MODEL, Translator


def by_hand(video: Path, model: Path, size: tuple[int, int], out: Path, frames: int | None) -> int:
    """The hand-written loop. Returns the number of frames."""
    import onnxruntime as ort

    height, width = size
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    capture = cv2.VideoCapture(str(video))
    rate = capture.get(cv2.CAP_PROP_FPS)
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    count = 0
    while frames is None or count < frames:
        got, frame = capture.read()
        if not got:
            break
        rgb = cv2.cvtColor(cv2.resize(frame, (width, height)), cv2.COLOR_BGR2RGB)
        batch = (rgb.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)[None]
        fake = session.run(None, {name: np.ascontiguousarray(batch)})[0][0]
        image = ((fake.transpose(1, 2, 0) + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        count += 1
    capture.release()
    writer.release()
    return count


def by_cgt(
    video: Path, model: Path, size: Size, out: Path, frames: int | None, engine: str
) -> tuple[int, str]:
    """What `cgt translate` does. Returns the number of frames and what computed them."""
    with (
        open_source(str(video)) as source,
        Translator(
            model, engine=engine, size=size, frame=source.size, goal="throughput"
        ) as translator,
    ):
        stream = StreamFormat.of(source, translator.geometry)
        stats = Stats()
        with open_sink(str(out), stream) as sink, stop_on_signal() as stop:
            for _ in run(limited(source, frames), translator, sink, stats, stop):
                pass
        return stats.frames, f"{translator.engine.name} {translator.engine.precision}"


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--size", default="256", show_default=True)
@click.option("--engine", default="auto", show_default=True)
@click.option("--frames", type=click.IntRange(1), help="Only the first frames.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    video: Path | None,
    model: Path,
    size: str,
    engine: str,
    frames: int | None,
    rounds: int,
    json_path: Path | None,
) -> None:
    """Start-up, reading, translating and writing are all counted, on both sides."""
    video = video or sample_clip()
    sides = parse_size(size)
    if sides == "source":
        raise click.UsageError("give a size in pixels")
    rates: dict[str, list[float]] = {"by hand": [], "cgt translate": []}
    used = ""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            began = time.perf_counter()
            count = by_hand(video, model, sides, Path(folder) / "hand.mp4", frames)
            rates["by hand"].append(count / (time.perf_counter() - began))
            began = time.perf_counter()
            again, used = by_cgt(video, model, sides, Path(folder) / "cgt.mp4", frames, engine)
            rates["cgt translate"].append(again / (time.perf_counter() - began))
            if count != again:
                raise click.ClickException(f"frames differ: {count} by hand, {again} by cgt")
    ratios = [ours / hand for hand, ours in zip(*rates.values(), strict=True)]
    ratio = statistics.median(ratios)
    table = Table(title=f"{video.name}, {model.name} at {sides[0]}x{sides[1]}, {rounds} rounds")
    table.add_column("")
    table.add_column("frames/s", justify="right")
    table.add_column("ratio", justify="right")
    table.add_row("by hand (ONNX Runtime fp32)", f"{statistics.median(rates['by hand']):.1f}", "1")
    ours = f"{statistics.median(rates['cgt translate']):.1f}"
    table.add_row(f"cgt translate ({used})", ours, f"{ratio:.2f}")
    Console().print(table)
    if json_path:
        facts = {"rates": rates, "ratios": ratios, "ratio": ratio, "engine": used}
        json_path.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
