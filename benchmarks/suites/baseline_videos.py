"""Baselines for a whole video: seconds per frame, with start-up, decoding and encoding."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgt.runtime.errors import EngineError, MissingDependency
from cgt.runtime.image.opencv import cv2
from cgt.runtime.inference.translator import Translator
from cgt.runtime.models.metadata import Direction
from cgt.runtime.pipeline import limit_frames, run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import open_source
from cgt.runtime.utils.signals import stop_on_signal
from cgt.runtime.utils.stats import Stats

from .baseline_networks import load_network, require_torch

FrameTimer = Callable[[], float]


@dataclass(frozen=True)
class VideoWorkload:
    """The video and the model that all baselines translate.

    Attributes:
        size: (height, width) of the network and the output.
        frames: Number of frames to translate.
        folder: Folder for outputs.
        fp32_model: The model in fp32 for ONNX Runtime, if it is another file.
    """

    video: Path
    model: Path
    size: tuple[int, int]
    frames: int
    folder: Path
    engine: str = "auto"
    fp32_model: Path | None = None


def frame_timer(translate: Callable[[], int], workload: VideoWorkload) -> FrameTimer:
    """Return a timer of seconds per frame of a function that returns how many frames it wrote.

    The timer raises EngineError if no frame or too many frames were written.
    """

    def measure() -> float:
        started = time.perf_counter()
        written = translate()
        seconds = time.perf_counter() - started
        if not 0 < written <= workload.frames:
            raise EngineError(f"{written} frames were written instead of {workload.frames}")
        return seconds / written

    return measure


def cgt_video_timer(workload: VideoWorkload) -> FrameTimer:
    """Return a timer of `cgt translate`."""
    return frame_timer(lambda: cgt_loop(workload), workload)


def video_baselines(
    workload: VideoWorkload, ckpt: Path | None, direction: Direction | None
) -> dict[str, Callable[[], FrameTimer]]:
    """Return factories of timers by name; a factory raises MissingDependency or ModelError."""

    def extraction() -> FrameTimer:
        if shutil.which("ffmpeg") is None:
            raise MissingDependency("apt-get install ffmpeg")
        network = load_network(workload.model, ckpt, direction)
        return frame_timer(lambda: ffmpeg_pytorch_loop(workload, network), workload)

    def vapoursynth() -> FrameTimer:
        from .vapoursynth import install_vapoursynth, vapoursynth_loop

        environment = install_vapoursynth()
        return frame_timer(lambda: vapoursynth_loop(workload, environment), workload)

    return {
        "plain loop: OpenCV + ONNX Runtime + mp4v": lambda: frame_timer(
            lambda: opencv_onnxruntime_loop(workload), workload
        ),
        "ffmpeg to PNGs, PyTorch image by image, ffmpeg": extraction,
        "VapourSynth + vs-mlrt (OpenVINO), ffmpeg": vapoursynth,
    }


def cgt_loop(workload: VideoWorkload) -> int:
    """Translate as `cgt translate` does; return the number of frames."""
    with (
        open_source(str(workload.video)) as source,
        Translator(
            workload.model,
            engine=workload.engine,
            size=workload.size,
            upsampling="none",  # the other programs write the network's size
            frame_size=source.size,
            performance_hint="throughput",
        ) as translator,
    ):
        stream = StreamFormat.from_source(source, translator.geometry)
        stats = Stats()
        out = str(workload.folder / "cgt.mp4")
        with open_sink(out, stream) as sink, stop_on_signal() as stop:
            for _ in run_pipeline(
                limit_frames(source, workload.frames), translator, sink, stats, stop
            ):
                pass
        return stats.frames


def opencv_onnxruntime_loop(workload: VideoWorkload) -> int:
    """Translate with the loop that tutorials show; return the number of frames.

    OpenCV reads, resizes (aliased) and writes. ONNX Runtime computes with its defaults, one frame
    after the other.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingDependency("pip install 'cyclegan-toolkit[ort]'") from None
    height, width = workload.size
    session = ort.InferenceSession(
        workload.fp32_model or workload.model, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    capture = cv2.VideoCapture(str(workload.video))
    rate = capture.get(cv2.CAP_PROP_FPS)
    out = str(workload.folder / "opencv.mp4")
    writer = cv2.VideoWriter(out, cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    count = 0
    while count < workload.frames:
        got, frame = capture.read()
        if not got:
            break
        rgb = cv2.cvtColor(cv2.resize(frame, (width, height)), cv2.COLOR_BGR2RGB)
        batch = (rgb.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)[None]
        output = session.run(None, {name: np.ascontiguousarray(batch)})[0][0]
        image = ((output.transpose(1, 2, 0) + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        count += 1
    capture.release()
    writer.release()
    return count


def ffmpeg_pytorch_loop(workload: VideoWorkload, network: Callable[..., object]) -> int:
    """Translate as users of pytorch-CycleGAN do; return the number of frames.

    FFmpeg extracts PNG files, PyTorch translates them one by one in fp32, and FFmpeg encodes a
    video.
    """
    torch = require_torch()
    from PIL import Image

    before, after = workload.folder / "before", workload.folder / "after"
    for folder in (before, after):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    _run_ffmpeg(
        "-i", workload.video, "-frames:v", workload.frames, "-vsync", "0", before / "%05d.png"
    )
    names = sorted(path.name for path in before.iterdir())
    height, width = workload.size
    for name in names:
        image = Image.open(before / name).convert("RGB").resize((width, height), 3)  # bicubic
        batch = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1.0
        with torch.inference_mode():
            output = network(torch.from_numpy(batch))
        levels = (np.asarray(output)[0].transpose(1, 2, 0) + 1.0) * 127.5
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(after / name)
    _run_ffmpeg("-i", after / "%05d.png", "-pix_fmt", "yuv420p", workload.folder / "extracted.mp4")
    return len(names)


def _run_ffmpeg(*arguments: object) -> None:
    command = ["ffmpeg", "-y", "-loglevel", "error", *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        last_line = (completed.stderr.strip().splitlines() or ["?"])[-1]
        raise EngineError(f"ffmpeg failed: {last_line}")
