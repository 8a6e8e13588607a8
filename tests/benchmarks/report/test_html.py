"""HTML report of a real, short benchmark: complete, well-formed, self-contained."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from cgt.benchmarks import bench
from cgt.benchmarks.analysis import peaks
from cgt.benchmarks.harness import runner
from cgt.benchmarks.harness.results import BenchReport, load_report
from cgt.benchmarks.report.html import render_html
from cgt.benchmarks.report.plots import MAX_DOTS, plot_latency_histogram, plot_latency_timeline
from cgt.cli.bench import command
from conftest import run_cgt


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, clip: Path) -> Path:
    """Run a benchmark with everything; the folder has bench.json, bench.html and printed.txt."""
    folder = tmp_path_factory.mktemp("reports")
    arguments = [
        *("--model", tiny_model, "--engine", "openvino,onnxruntime", "--size", "64x32"),
        *("--seconds", 0.2, "--batch", "1,2", "--streams", "1,2", "--pipeline", clip),
        *("--json", folder / "bench.json", "--html", folder / "bench.html"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        # Two sessions are enough to test the repetition.
        for module in (bench, runner):
            patch.setattr(module, "NUM_SESSIONS", 2)
        patch.setattr(peaks, "MEASURE_S", 0.0)
        done = CliRunner(env={"COLUMNS": "80"}).invoke(command, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    (folder / "printed.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def report(reports: Path) -> BenchReport:
    return load_report(reports / "bench.json")


def test_console_shows_every_result(reports: Path) -> None:
    printed = (reports / "printed.txt").read_text()
    for text in (
        *("openvino", "onnxruntime", "64x32", "x2", "precision", "p99", "variation", "frames/s"),
        *("cold start", "memory", "% of roofline", "clip.mp4 to H.264", "decode", "encode"),
    ):
        assert text in printed
    assert "\u2026" not in printed, "a value was truncated"
    assert max(map(len, printed.splitlines())) <= 80


def test_json_has_raw_samples_and_conditions(reports: Path, report: BenchReport) -> None:
    document = json.loads((reports / "bench.json").read_text())
    assert document["command"][0] == "cgt"
    assert document["machine"]["cpu"]
    assert document["machine"]["versions"]["openvino"]
    for state in ("before", "after"):
        assert len(document[state]["load_average"]) == 3
    assert len(report.results) == 4
    for result in report.results:
        assert len(result.samples) == sum(len(r.ms) for s in result.sessions for r in s.rounds)
        assert result.percentile(50) <= result.percentile(99) <= result.samples.max()
        assert sorted(result.throughput()) == [1, 2]
        assert result.limit is not None
        assert result.limit["macs"] > 0
    one, two = report.results[0].limit, report.results[1].limit
    assert one is not None
    assert two is not None
    assert two["macs"] == 2 * one["macs"], "a batch of two is twice the work"


def test_pipeline_is_measured(report: BenchReport) -> None:
    run = report.pipeline
    assert run is not None
    assert run["frames"] == 20 or run["seconds"] >= 0.2
    assert run["stages"]["latency"]["count"] == run["frames"]
    assert run["efficiency"] == pytest.approx(run["fps"] / run["engine_fps"])
    assert run["bound"]


class Page(HTMLParser):
    """HTML parser that records tags and checks that every tag is closed."""

    VOID = ("meta", "line", "rect", "circle", "polyline", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID or (tag != "meta" and not self.get_starttag_text().endswith("/>")):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_page_is_self_contained(reports: Path) -> None:
    text = (reports / "bench.html").read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "href", "srcset", "data"} & set(attributes)
        assert (attributes.get("xlink:href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.search(r"url\((?!#)|@import|https?://", outside)
    policies = [a["content"] for _, a in page.tags if "content" in a and "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_page_shows_every_result(reports: Path, report: BenchReport) -> None:
    text = (reports / "bench.html").read_text()
    for result in report.results:
        assert result.label in text
    for heading in ("Engines", "End to end", "Latency", "Roofline", "Conditions"):
        assert heading in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 2 * 4 + 1 + 1  # histogram and timeline each, stages, roofline
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.attrib["aria-label"]
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text


def test_names_are_escaped(report: BenchReport) -> None:
    report.results[0].model = "<script>alert(1)</script>.onnx"
    text = render_html(report)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_plots_contain_every_sample(report: BenchReport) -> None:
    result = report.results[0]
    shown = sum(bar.get_height() for bar in plot_latency_histogram(result).axes[0].patches)
    assert len(result.samples) * 0.98 <= shown <= len(result.samples)
    dots = sum(len(line.get_xdata()) for line in plot_latency_timeline(result).axes[0].lines)
    assert dots == len(result.samples) or len(result.samples) > MAX_DOTS


def test_report_compared_with_itself_shows_no_difference(reports: Path) -> None:
    done = run_cgt("bench", "compare", reports / "bench.json", reports / "bench.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no difference") >= 4
    assert "slower" not in done.stdout
    assert "faster" not in done.stdout
