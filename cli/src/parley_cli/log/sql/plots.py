"""Plots of a result: in the terminal with block characters, or as a chart in a file.

The first column is the label of a row, or the x axis; each further column of numbers is a series.
"""

import math
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from parley_cli.errors import CommandError
from parley_cli.log.sql.charts import PlotData, PlotKind, html_page, png_image
from parley_cli.log.sql.result_formats import is_number, open_output, rows_of, text_of

MAX_POINTS = 1_000
_HEIGHT = 16
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_BAR_PARTS = " ▏▎▍▌▋▊▉█"


def plot(result: "pa.RecordBatchReader", kind: PlotKind, file: Path | None) -> None:
    """Print the plot, or write it to an .html or .png file. Raises CommandError."""
    data = plot_data(result)
    if file is None:
        lines = bar_lines(data) if kind == "bar" else line_lines(data)
        print("\n".join(lines))
        return
    match file.suffix:
        case ".html":
            content = html_page(data, kind).encode()
        case ".png":
            content = png_image(data, kind)
        case _:
            raise CommandError("A plot is written to a file whose name ends with .html or .png.")
    with open_output(file) as output:
        output.write(content)


def plot_data(result: "pa.RecordBatchReader") -> PlotData:
    """Raises CommandError for a result that has no series or too many rows."""
    first, *others = result.schema.names or [""]
    kinds = dict(zip(result.schema.names, result.schema.types, strict=True))
    numeric = [name for name in others if is_number(kinds[name])]
    if not numeric:
        raise CommandError(
            "A plot needs labels in the first column and a number in another one: for example "
            "select day, sum(replies) from usage group by day order by day."
        )
    rows = []
    for row in rows_of(result):
        rows.append(row)
        if len(rows) > MAX_POINTS:
            raise CommandError(f"A plot shows up to {MAX_POINTS:,} rows: group them, or add LIMIT.")
    series = [(name, [_plotted(row[name]) for row in rows]) for name in numeric]
    return PlotData([text_of(row[first]) for row in rows], series)


def _plotted(value: Any) -> float:
    """Zero for null, and for what a division by zero results in."""
    number = float(value or 0)
    return number if math.isfinite(number) else 0.0


def bar_lines(data: PlotData) -> list[str]:
    """A bar per row and series, from zero; negative values have none."""
    label = max(map(len, data.labels), default=0)
    values = [[text_of(value) for value in values] for _, values in data.series]
    number = max((len(text) for texts in values for text in texts), default=0)
    width = max(10, shutil.get_terminal_size().columns - label - number - 3)
    lines = []
    for row, name in enumerate(data.labels):
        for index, (_, numbers) in enumerate(data.series):
            eighths = round(max(0.0, numbers[row]) / data.maximum * width * 8)
            bar = "█" * (eighths // 8) + _BAR_PARTS[eighths % 8].strip()
            shown = name if index == 0 else ""
            lines.append(f"{shown:<{label}} {bar:<{width}} {values[index][row]:>{number}}".rstrip())
    return [*_legend(data), *lines]


def line_lines(data: PlotData) -> list[str]:
    """A chart of columns per series, each as high as its value."""
    lines = []
    for name, values in data.series:
        columns = _resampled(values, max(10, shutil.get_terminal_size().columns - 12))
        top = max(values, default=0) or 1.0
        lines.append(name)
        for level in range(_HEIGHT - 1, -1, -1):
            cells = (round(max(0.0, v) / top * _HEIGHT * 8) - level * 8 for v in columns)
            axis = text_of(top * (level + 1) / _HEIGHT) if level % 5 == 0 else ""
            drawn = "".join(_EIGHTHS[min(8, max(0, each))] for each in cells)
            lines.append(f"{axis:>10} {drawn}".rstrip())
    ends = [data.labels[0], data.labels[-1]] if data.labels else []
    return [*lines, f"{'':>10} {' … '.join(ends)}".rstrip()]


def _legend(data: PlotData) -> list[str]:
    return [", ".join(name for name, _ in data.series)] if len(data.series) > 1 else []


def _resampled(values: Sequence[float], columns: int) -> list[float]:
    """One value per column: the mean of the values that share a column, or each value repeated."""
    if not values:
        return []
    if len(values) > columns:
        edges = [round(each * len(values) / columns) for each in range(columns + 1)]
        parts = [values[a:b] for a, b in pairwise(edges)]
        return [sum(part) / len(part) for part in parts]
    repeat = columns // len(values)
    return [value for value in values for _ in range(repeat)]
