"""Charts of a result: shapes, drawn as SVG in an HTML page or as a PNG image."""

import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from PIL import Image, ImageDraw, ImageFont

from parley_cli.log.sql.result_formats import text_of

PlotKind = Literal["line", "bar"]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 960, 420, 70, 60, 20
_PLOT_HEIGHT = _HEIGHT - _BOTTOM - _TOP
_COLOURS = ("#2463b4", "#c2571a", "#2c7f3f", "#8b3f96", "#8a6d00", "#b32943")
_GRID, _TEXT = "#dddddd", "#000000"
_AXIS_SIZE, _LEGEND_SIZE = 11, 16
# Labels under the x axis.
_MAX_LABELS, _MAX_LABEL_LENGTH = 12, 24
# Pixels of an image per unit, for sharp text on dense screens.
_SCALE = 2


@dataclass(frozen=True)
class PlotData:
    labels: Sequence[str]
    series: Sequence[tuple[str, Sequence[float]]]

    @property
    def maximum(self) -> float:
        return max((value for _, values in self.series for value in values), default=0) or 1.0


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str


class Line(NamedTuple):
    points: Sequence[tuple[float, float]]
    colour: str


class Label(NamedTuple):
    """Text whose baseline begins at x, or ends there."""

    x: float
    y: float
    text: str
    size: int
    colour: str = _TEXT
    ends: bool = False


Shape = Bar | Line | Label


def html_page(data: PlotData, kind: PlotKind) -> str:
    title = html.escape(", ".join(name for name, _ in data.series))
    drawn = "".join(map(_svg, _shapes(data, kind)))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif">{drawn}</svg></html>\n'
    )


def png_image(data: PlotData, kind: PlotKind) -> bytes:
    image = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    draw = ImageDraw.Draw(image)
    for shape in _shapes(data, kind):
        _draw(draw, shape)
    output = io.BytesIO()
    image.save(output, "png")
    return output.getvalue()


def _shapes(data: PlotData, kind: PlotKind) -> Iterator[Shape]:
    """From back to front: grid, axes, series, legend. Negative values are drawn as zero."""
    floor = _HEIGHT - _BOTTOM
    step = (_WIDTH - _LEFT) / max(1, len(data.labels))
    for part in range(5):
        y = floor - part / 4 * _PLOT_HEIGHT
        yield Line(((_LEFT, y), (_WIDTH, y)), _GRID)
        value = text_of(data.maximum * part / 4)
        yield Label(_LEFT - 6, y + 4, value, _AXIS_SIZE, ends=True)
    for row in range(0, len(data.labels), max(1, -(-len(data.labels) // _MAX_LABELS))):
        text, x = data.labels[row][:_MAX_LABEL_LENGTH], _LEFT + row * step
        # A digit is about 0.6 times as wide as its size.
        ends = x + 0.6 * _AXIS_SIZE * len(text) > _WIDTH
        yield Label(_WIDTH if ends else x, floor + 18, text, _AXIS_SIZE, ends=ends)
    for index, (name, values) in enumerate(data.series):
        colour = _COLOURS[index % len(_COLOURS)]
        heights = [max(0.0, value) / data.maximum * _PLOT_HEIGHT for value in values]
        if kind == "bar":
            width = step * 0.8 / len(data.series)
            for row, height in enumerate(heights):
                x = _LEFT + row * step + index * width
                title = f"{data.labels[row]}: {text_of(values[row])}"
                yield Bar(x, floor - height, max(width, 0.5), height, colour, title)
        else:
            middles = [_LEFT + (row + 0.5) * step for row in range(len(heights))]
            points = [(x, floor - each) for x, each in zip(middles, heights, strict=True)]
            yield Line(points, colour)
        yield Label(_LEFT + 150 * index, _HEIGHT - 8, name, _LEGEND_SIZE, colour)


def _svg(shape: Shape) -> str:
    match shape:
        case Bar():
            return (
                f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
                f'height="{shape.height:.1f}" fill="{shape.colour}">'
                f"<title>{html.escape(shape.title)}</title></rect>"
            )
        case Line():
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
            return f'<polyline points="{points}" fill="none" stroke="{shape.colour}"/>'
        case Label():
            anchor = ' text-anchor="end"' if shape.ends else ""
            return (
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" '
                f'fill="{shape.colour}"{anchor}>{html.escape(shape.text)}</text>'
            )
        case _:
            assert_never(shape)


def _draw(draw: ImageDraw.ImageDraw, shape: Shape) -> None:
    match shape:
        case Bar():
            corner = (shape.x + shape.width, shape.y + shape.height)
            corners = [_pixels(shape.x, shape.y), _pixels(*corner)]
            draw.rectangle(corners, fill=shape.colour)
        case Line():
            points = [_pixels(x, y) for x, y in shape.points]
            draw.line(points, fill=shape.colour, width=_SCALE)
        case Label():
            font = ImageFont.load_default(shape.size * _SCALE)
            # Left or right, at the baseline.
            anchor = "rs" if shape.ends else "ls"
            at = _pixels(shape.x, shape.y)
            draw.text(at, shape.text, fill=shape.colour, font=font, anchor=anchor)
        case _:
            assert_never(shape)


def _pixels(x: float, y: float) -> tuple[float, float]:
    return x * _SCALE, y * _SCALE
