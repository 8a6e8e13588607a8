"""`cgt translate` against VapourSynth with vs-mlrt's OpenVINO plugin, in turns, start-up included.

    python -m benchmarks.suites.vapoursynth [VIDEO] [--model FILE]... [--size 256x256]
        [--output-size WIDTHxHEIGHT] [--frames N] [--rounds 5]

Both sides run the same model file in OpenVINO and encode H.264 with CRF 20, veryfast. VapourSynth
has the best of about 40 settings: LSMASH source with one decoder thread, zimg bicubic, two streams
with three threads. It is installed once, into an environment of its own in the cache folder, for
which it needs a Python of version 3.12 or newer.

CPU seconds (user + system) stay about the same on a busy machine. Seconds do not.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import click
from rich.console import Console

from cgt.benchmarks.harness.environment import current_conditions, describe_machine
from cgt.runtime.engines import read_model_metadata
from cgt.runtime.errors import EngineError, MissingDependency
from cgt.runtime.image.geometry import format_size, parse_size
from cgt.runtime.inference.translator import resolve_model
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.utils.cache import cache_dir
from cgt.runtime.utils.progress import progress_bar

from ._cli import results_option, run_command
from ._results_md import write_section
from .baseline_videos import VideoWorkload

PACKAGES = ("vapoursynth==81", "vapoursynth-mlrt-ov==17.1", "vapoursynth-lsmas==1310.0.0.0")
_MIN_PYTHON = (3, 12)
_STREAMS, _THREADS = 2, 3
_CRF, _PRESET = "20", "veryfast"

# `vspipe --arg` sets the undefined names. RGB in zimg is 0..1 and the network's -1..1.
_SCRIPT = """
import vapoursynth as vs

core = vs.core
clip = core.lsmas.LWLibavSource(video, threads=1, cachefile=index)
clip = clip[: int(frames)] if int(frames) else clip
is_hd = clip.height > 576 or clip.width > 1279
tagged = clip.get_frame(0).props.get("_Matrix", 2) != 2
source = {} if tagged else {"matrix_in_s": "709" if is_hd else "170m"}
clip = core.resize.Bicubic(clip, int(width), int(height), format=vs.RGBS, **source)
clip = core.std.Expr(clip, "x 2 * 1 -")
settings = {"INFERENCE_NUM_THREADS": int(threads)}
if int(throughput):
    settings["PERFORMANCE_HINT"] = "THROUGHPUT"
clip = core.ov.Model([clip], model, num_streams=int(streams), config=lambda: settings)
clip = core.std.Expr(clip, "x 1 + 2 /")
clip = core.resize.Bicubic(
    clip, int(out_width), int(out_height), format=vs.YUV420P8, matrix_s="170m"
)
clip.set_output()
"""


@dataclass(frozen=True)
class Workload:
    """What both sides translate; sizes are (height, width), frames None for all."""

    video: Path
    model: Path
    size: tuple[int, int]
    output_size: tuple[int, int]
    frames: int | None
    folder: Path


@dataclass(frozen=True)
class RunCost:
    """What a run took: seconds from start to exit, CPU seconds, MiB of each of its processes."""

    seconds: float
    cpu_seconds: float
    peak_mib: tuple[float, ...]
    frames: int


def find_python() -> str:
    """Return a Python that VapourSynth's packages support.

    Raises:
        MissingDependency: There is none.
    """
    names = [f"python3.{minor}" for minor in range(20, _MIN_PYTHON[1] - 1, -1)]
    found = [sys.executable, *filter(None, map(shutil.which, names)), *_pyenv_pythons()]
    check = f"import sys, venv; sys.exit(sys.version_info < {_MIN_PYTHON})"
    for python in found:
        if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
            return python
    raise MissingDependency("it needs Python 3.12 or newer, and none was found")


def _pyenv_pythons() -> Iterator[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in sorted((root / "versions").glob("3.*"), reverse=True):
        yield str(folder / "bin" / "python3")


def install_vapoursynth() -> Path:
    """Return the folder of an environment with VapourSynth, installed on the first call.

    Raises:
        MissingDependency: There is no suitable Python, FFmpeg or cache folder, or pip fails.
    """
    if shutil.which("ffmpeg") is None:
        raise MissingDependency("apt-get install ffmpeg")
    python = find_python()
    folder = cache_dir("vapoursynth", "-".join(PACKAGES).replace("==", "-"))
    if folder is None:
        raise MissingDependency("there is no cache folder to install VapourSynth in")
    if (folder / "config" / "vapoursynth" / "vapoursynth.toml").is_file():
        return folder
    bin_folder = folder / "bin"
    for command in (
        [python, "-m", "venv", str(folder)],
        [str(bin_folder / "pip"), "install", "--quiet", *PACKAGES],
        [str(bin_folder / "vapoursynth"), "config"],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment(folder)
        )
        if done.returncode != 0:
            last_line = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise MissingDependency(f"{' '.join(command[:3])} failed: {last_line}")
    return folder


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which VapourSynth's configuration file is in `folder`."""
    (folder / "config").mkdir(exist_ok=True)
    return {**os.environ, "XDG_CONFIG_HOME": str(folder / "config")}


def vapoursynth_run(workload: Workload, environment: Path) -> RunCost:
    """Translate a video with VapourSynth and ffmpeg; raise EngineError if that fails."""
    script, out = workload.folder / "vapoursynth.vpy", workload.folder / "vapoursynth.mp4"
    script.write_text(_SCRIPT)
    values = {
        "video": workload.video.absolute(),
        "index": workload.folder / "vapoursynth.lwi",
        "model": workload.model.absolute(),
        "width": workload.size[1],
        "height": workload.size[0],
        "out_width": workload.output_size[1],
        "out_height": workload.output_size[0],
        "frames": workload.frames or 0,
        "streams": _STREAMS,
        "threads": _THREADS,
        "throughput": int(read_model_metadata(workload.model).precision.startswith("int8")),
    }
    arguments = [text for name, value in values.items() for text in ("-a", f"{name}={value}")]
    vspipe = [str(environment / "bin" / "vspipe"), "-c", "y4m", *arguments, str(script), "-"]
    encode = ["ffmpeg", "-y", "-loglevel", "error", "-i", "-", "-c:v", "libx264"]
    encode += ["-preset", _PRESET, "-crf", _CRF, str(out)]
    return _run_connected([vspipe, encode], out, _environment(environment))


def vapoursynth_loop(workload: VideoWorkload, environment: Path) -> int:
    """Translate with VapourSynth as a baseline of `vs_baselines`; return the number of frames."""
    size = workload.size
    return vapoursynth_run(
        Workload(workload.video, workload.model, size, size, workload.frames, workload.folder),
        environment,
    ).frames


def cgt_run(workload: Workload) -> RunCost:
    """Translate a video with the command `cgt translate`; raise EngineError if that fails."""
    out = workload.folder / "cgt.mp4"
    command = [sys.executable, "-m", "cgt.cli", "translate", str(workload.video), "-o", str(out)]
    command += ["--model", str(workload.model), "--size", format_size(workload.size)]
    if workload.output_size == workload.size:
        command += ["--upsampling", "none"]
    else:  # both sides resize by bicubic
        command += ["--upsampling", "bicubic", "--output-size", format_size(workload.output_size)]
    if workload.frames:
        command += ["--frames", str(workload.frames)]
    return _run_connected([command], out, dict(os.environ))


def _run_connected(commands: list[list[str]], out: Path, environment: dict[str, str]) -> RunCost:
    """Run commands whose standard output is the next one's input; return what they took."""
    out.unlink(missing_ok=True)
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in commands]
        started_at = time.perf_counter()
        processes: list[subprocess.Popen[bytes]] = []
        for command, log in zip(commands, logs, strict=True):
            is_last = len(processes) == len(commands) - 1
            processes.append(
                subprocess.Popen(
                    command,
                    stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL if is_last else subprocess.PIPE,
                    stderr=log,
                    env=environment,
                )
            )
        for process in processes[:-1]:
            assert process.stdout is not None
            process.stdout.close()  # this process holds no end of the pipes
        usages = []
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            usages.append(usage)
        seconds = time.perf_counter() - started_at
        for command, process, log in zip(commands, processes, logs, strict=True):
            if process.returncode != 0:
                log.seek(0)
                last_line = (log.read().strip().splitlines() or ["no output"])[-1]
                raise EngineError(f"{Path(command[0]).name} failed: {last_line}")
    return RunCost(
        seconds,
        sum(usage.ru_utime + usage.ru_stime for usage in usages),
        tuple(usage.ru_maxrss / 1024 for usage in usages),
        _count_frames(out),
    )


def _count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))


def compare(
    workload: Workload, environment: Path, rounds: int, tick: Callable[[], None]
) -> tuple[list[RunCost], list[RunCost]]:
    """Run both sides in turns after one run of each that is not counted, which fills caches.

    Returns:
        The runs of cgt and those of VapourSynth, by round.
    """
    sides: list[tuple[list[RunCost], Callable[[], RunCost]]] = [
        ([], lambda: cgt_run(workload)),
        ([], lambda: vapoursynth_run(workload, environment)),
    ]
    first = [run() for _, run in sides]
    if first[0].frames != first[1].frames:
        raise EngineError(f"cgt wrote {first[0].frames} frames and VapourSynth {first[1].frames}")
    for turn in range(rounds):
        for runs, run in sides if turn % 2 == 0 else sides[::-1]:
            runs.append(run())
        tick()
    return sides[0][0], sides[1][0]


def format_row(name: str, cgt_runs: Sequence[RunCost], their_runs: Sequence[RunCost]) -> str:
    """Return a row of the table: medians, and the median of the rounds' ratios of speed."""
    ratio = statistics.median(
        theirs.seconds / ours.seconds for ours, theirs in zip(cgt_runs, their_runs, strict=True)
    )
    cells = [name]
    for runs in (cgt_runs, their_runs):
        cells.append(f"{statistics.median(run.frames / run.seconds for run in runs):.1f}")
    cells.append(f"**{ratio:.2f}**")
    for runs in (cgt_runs, their_runs):
        cells.append(f"{statistics.median(run.cpu_seconds for run in runs):.2f}")
    for runs in (cgt_runs, their_runs):
        peaks = zip(*(run.peak_mib for run in runs), strict=True)
        cells.append(" + ".join(f"{statistics.median(peak):.0f}" for peak in peaks))
    return f"| {' | '.join(cells)} |"


TABLE_HEADER = (
    "| model | cgt, frames/s | VapourSynth, frames/s | ratio | cgt, CPU s | VapourSynth, CPU s "
    "| cgt, MiB | VapourSynth, MiB |",
    "|---|---|---|---|---|---|---|---|",
)


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option(
    "--model", "models", multiple=True, help="ONNX file or bundled model; repeat it for several."
)
@click.option("--size", default="256x256", show_default=True, help="Size of the network's image.")
@click.option("--output-size", help="Size of the video; both sides resize by bicubic.")
@click.option("--frames", type=click.IntRange(1), help="Frames to translate; all by default.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@results_option
def main(
    video: Path | None,
    models: tuple[str, ...],
    size: str,
    output_size: str | None,
    frames: int | None,
    rounds: int,
    results: Path | None,
) -> None:
    """Compare the speed of cgt with VapourSynth's; print a table."""
    sides, out_sides = parse_size(size), parse_size(output_size or size, "--output-size")
    if sides == "source" or out_sides == "source":
        raise click.UsageError("give a size in pixels")
    before = current_conditions()
    environment = install_vapoursynth()
    video = video or sample_clip()
    names = models or ("monet",)
    lines = [
        f"{video.name} to {format_size(sides)}, written as H.264 of {format_size(out_sides)} with "
        f"CRF {_CRF}, {_PRESET}; {rounds} rounds in turns, medians, start-up and exit included.",
        "",
        *TABLE_HEADER,
    ]
    with (
        tempfile.TemporaryDirectory(prefix="cgt-vapoursynth-") as name,
        progress_bar("measuring", rounds * len(names), unit="round") as bar,
    ):
        for model in names:
            path = resolve_model(model)
            workload = Workload(video, path, sides, out_sides, frames, Path(name))
            runs = compare(workload, environment, rounds, bar.advance)
            lines.append(format_row(path.stem, *runs))
    Console(soft_wrap=True).print("\n".join(lines), highlight=False, markup=False)
    if results:
        write_section(
            results,
            "vapoursynth",
            lines,
            describe_machine(),
            before,
            current_conditions(),
            "VapourSynth + vs-mlrt (OpenVINO)",
        )


if __name__ == "__main__":
    run_command(main)
