"""Every verb that reads and writes files refuses an output that is one of its inputs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import av
import pytest

from cgt.benchmarks.bench import BenchOptions, run_bench
from cgt.runtime.errors import SourceError, UsageError
from cgt.runtime.sinks import refuse_overwriting_source
from cgt.runtime.sources import open_source
from cgt.runtime.sources.playlists import playlist_files
from conftest import run_cgt, write_inverse_model


@pytest.fixture
def folder(tmp_path: Path, clip: Path, dataset: Path) -> Path:
    write_inverse_model(tmp_path / "m.onnx")
    os.link(tmp_path / "m.onnx", tmp_path / "m.json")
    for name in ("weights.pth", "pytorch_model.bin", "net.onnx", "run/metrics.csv", "run/best.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"original")
    shutil.copy(clip, tmp_path / "a.mp4")
    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "demo").mkdir()
    shutil.copy(dataset / "testA" / "0.png", tmp_path / "demo" / "preview.png")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "translate a.mp4 -o new.mp4 --json a.mp4",
        "translate *.mp4 -o out --json a.mp4",
        "translate data/testA -o out --json data/testA/0.png",
        "translate a.mp4 -o new.mp4 --json new.mp4",
        "translate a.mp4 -o new.mp4 --model m.onnx --json m.json",
        "inspect m.onnx --json m.json",
        "bench --model m.onnx --json m.json",
        "bench --model m.onnx --html m.json",
        "bench --pipeline a.mp4 --json a.mp4",
        "bench --json one --html ./one",
        "bench students --pipeline a.mp4 --json a.mp4",
        "eval --model m.onnx --json m.json",
        "eval --model m.onnx --data data --montage data/testA/0.png",
        "eval --model m.onnx --data data --video a.mp4 --json a.mp4",
        "export --ckpt net.onnx -o net.onnx",
        "export --ckpt pytorch_model.bin -o pytorch_model.xml --format openvino",
        "export --ckpt weights.pth -o new.onnx --int8 --calib new.onnx",
        "distill --ckpt weights.pth --data data -o weights.pth",
        "distill --ckpt none.pth --init-from weights.pth --data data -o weights.pth",
        "plot run -o run/metrics.csv",
        "demo demo/preview.png -o demo",
        "train --data data --output run --init-from run/best.pth",
        "train --data data --output data/trainA/run",
    ],
)
def test_an_output_over_an_input_is_refused(folder: Path, command: str) -> None:
    if "new.onnx --int8" in command:
        shutil.copytree(folder / "data" / "testA", folder / "photos")
        os.link(folder / "photos" / "0.png", folder / "new.onnx")
        command = command.replace("--calib new.onnx", "--calib photos")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = run_cgt(*command.split(), cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert any(
        words in done.stderr
        for words in ("is an input and would be overwritten", "given twice", "would lie", "lies in")
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_student_is_not_trained_among_its_photos(run_folder: Path, folder: Path) -> None:
    done = run_cgt(
        *("distill", "--ckpt", run_folder / "latest.pth", "--data", "data/testA"),
        *("-o", "data/testA/student.pth", "--student", "8x1"),
        cwd=folder,
    )
    assert done.returncode == 2, done.stderr
    assert "would lie among the images" in done.stderr
    assert not (folder / "data/testA/student").exists()


def test_segments_of_a_playlist_are_kept(clip: Path, tmp_path: Path) -> None:
    with av.open(str(clip)) as source, av.open(str(tmp_path / "list.m3u8"), "w", "hls") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    segment = next(tmp_path.glob("*.ts"))
    before = segment.read_bytes()
    (tmp_path / "link.m3u8").symlink_to("list.m3u8")
    (tmp_path / "main.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n")
    model = write_inverse_model(tmp_path / "m.onnx")
    for name in ("list.m3u8", "link.m3u8", "main.m3u8"):
        done = run_cgt("translate", name, "-o", segment, "--model", model, cwd=tmp_path)
        assert done.returncode == 2
        assert "is an input" in done.stderr
        assert segment.read_bytes() == before


@pytest.mark.parametrize("line", ["file a.mp4", "file 'a.mp4'", r"file a\.mp4"])
def test_files_of_a_concat_list_are_kept(line: str, clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "a.mp4")
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\n# two\n{line}\nduration 1\n")
    with open_source(str(tmp_path / "list.ffconcat")) as source:
        assert [path.resolve() for path in source.files] == [
            *(tmp_path / "list.ffconcat", tmp_path / "a.mp4")
        ]
        with pytest.raises(UsageError, match="is an input"):
            refuse_overwriting_source([str(tmp_path / "a.mp4")], source)


def test_playlists_name_keys_and_initialization_segments(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_text(
        '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXT-X-MAP:URI="i%20n.mp4"\n'
        "#EXTINF:1,\n1.m4s\nhttp://host/2.m4s\n\na.m3u8\n"
    )
    names = {file.name for file in playlist_files(path)}
    assert names == {"a.m3u8", "key", "i n.mp4", "1.m4s"}


def test_a_bench_of_a_bad_source_fails_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("cgt.benchmarks.bench._run_jobs", lambda *_: pytest.fail("measured"))
    with pytest.raises(SourceError, match="missing"):
        run_bench(BenchOptions([tmp_path / "m.onnx"], source=str(tmp_path / "none.mp4")))
