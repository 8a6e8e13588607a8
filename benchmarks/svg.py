"""Plots as inline SVG: axes, marks and nothing else. Colours are CSS classes of the page, so that
one drawing serves dark and light; sizes are in units of a 440-wide drawing that scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

WIDTH, HEIGHT = 440.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 14.0, 38.0
COLOURS = 6  # classes c0 to c5

Element = ElementTree.Element


def colour(index: int) -> str:
    """CSS class of the index-th series."""
    return f"c{index % COLOURS}"


@dataclass(frozen=True)
class Scale:
    """Values to units along one axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = (math.log(max(v, 1e-300)) for v in (low, high, at))
        share = (at - low) / (high - low) if high != low else 0.5
        return self.start + min(max(share, -0.05), 1.05) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside of the range."""
        if self.log and len(found := _log_ticks(self.low, self.high)) > 1:
            return found
        span = max(self.high - self.low, 1e-12)
        step = 10 ** math.floor(math.log10(span / count))
        step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= count)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**d for d in decades for m in multiples]
        found = [tick for tick in found if low * 0.999 <= tick <= high * 1.001]
        if len(found) <= 7:
            break
    return found


def number(value: float) -> str:
    """Short: 1.5 k, 12, 0.03."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Plot:
    """One drawing. Marks are added in data coordinates; `to_svg` gives the element's text."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        x_label: str = "",
        y_label: str = "",
        log: bool = False,
        height: float = HEIGHT,
        left: float = LEFT,
        x_ticks: Sequence[float] | None = None,
        y_axis: bool = True,
    ) -> None:
        self.height, self.left = height, left
        self.x = Scale(*x, left, WIDTH - RIGHT, log)
        self.y = Scale(*y, height - BOTTOM, TOP, log)
        self.root = Element(
            "svg",
            {"viewBox": f"0 0 {WIDTH:g} {height:g}", "role": "img", "aria-label": title},
        )
        self._title = title
        self._axes(x_label, y_label, x_ticks, y_axis)

    def _axes(
        self, x_label: str, y_label: str, x_ticks: Sequence[float] | None, y_axis: bool
    ) -> None:
        floor = self.height - BOTTOM
        for tick in x_ticks or self.x.ticks():
            at = self.x(tick)
            self._line(at, TOP, at, floor, "grid")
            self.put_text(at, floor + 15, number(tick), "tick", "middle")
        if y_axis:
            for tick in self.y.ticks():
                at = self.y(tick)
                self._line(self.left, at, WIDTH - RIGHT, at, "grid")
                self.put_text(self.left - 6, at + 4, number(tick), "tick", "end")
        self._line(self.left, floor, WIDTH - RIGHT, floor, "axis")
        middle = (self.left + WIDTH - RIGHT) / 2
        self.put_text(middle, self.height - 5, x_label, "label", "middle")
        self.put_text(4, 10, y_label, "label", "start")

    def _line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        ends = zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), strict=True)
        self.add("line", kind, {name: f"{value:.1f}" for name, value in ends})

    def add(self, tag: str, kind: str, attributes: dict[str, str], note: str = "") -> None:
        """An element with a CSS class; note: shown where the pointer rests on it."""
        element = ElementTree.SubElement(self.root, tag, {"class": kind, **attributes})
        if note:
            ElementTree.SubElement(element, "title").text = note

    def put_text(self, x: float, y: float, text: str, kind: str, anchor: str) -> None:
        """In units of the drawing."""
        if text:
            place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
            ElementTree.SubElement(self.root, "text", place).text = text

    def bar(self, x0: float, x1: float, y0: float, y1: float, kind: str, note: str = "") -> None:
        left, right = sorted((self.x(x0), self.x(x1)))
        top, bottom = sorted((self.y(y0), self.y(y1)))
        sides = {"width": max(right - left, 0.5), "height": max(bottom - top, 0.5)}
        place = {"x": left, "y": top, **sides}
        self.add("rect", f"bar {kind}", {k: f"{v:.2f}" for k, v in place.items()}, note)

    def dot(self, x: float, y: float, kind: str, radius: float = 4, note: str = "") -> None:
        place = {"cx": self.x(x), "cy": self.y(y), "r": radius}
        self.add("circle", f"dot {kind}", {k: f"{v:.1f}" for k, v in place.items()}, note)

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.add("polyline", f"curve {kind}", {"points": path})

    def dust(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Many small dots as one element."""
        path = "".join(f"M{self.x(x):.1f} {self.y(y):.1f}h0" for x, y in points)
        self.add("path", f"dust {kind}", {"d": path})

    def rule(self, x: float, text: str, kind: str = "rule") -> None:
        """A vertical line with a name at its top."""
        at = self.x(x)
        self._line(at, TOP, at, self.height - BOTTOM, kind)
        near_end = at > WIDTH - 70
        self.put_text(
            at + (-4 if near_end else 4), TOP + 9, text, "tick", "end" if near_end else "start"
        )

    def text(self, x: float, y: float, text: str, dx: float = 0, dy: float = 0) -> None:
        """At a data point; turned to the other side where it would leave the drawing."""
        at = self.x(x)
        turn = at + dx + 6.2 * len(text) > WIDTH
        self.put_text(
            at - dx if turn else at + dx, self.y(y) + dy, text, "tick", "end" if turn else "start"
        )

    def to_svg(self) -> str:
        return ElementTree.tostring(self.root, encoding="unicode")


def legend(names: Sequence[str], class_of: Callable[[int], str] = colour) -> str:
    """HTML: a line of coloured names."""
    root = Element("p", {"class": "legend"})
    for index, name in enumerate(names):
        item = ElementTree.SubElement(root, "span")
        ElementTree.SubElement(item, "i", {"class": class_of(index)}).text = ""
        item[0].tail = name
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
