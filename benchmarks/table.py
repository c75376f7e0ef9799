"""What a benchmark prints: what was measured, its floor, their ratio, and what was aimed at."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Line:
    """`ours` and `floor` are texts with their units; `ratio` is how far ours comes of the floor.

    `aim` is the ratio to reach; an aim of another kind says itself whether it is `met`.
    """

    what: str
    ours: str
    floor: str = ""
    ratio: float | None = None
    aim: float | str = ""
    met: bool | None = None


def print_table(title: str, lines: Sequence[Line]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("what", "ours", "floor, same run", "ratio", "aim", ""):
        table.add_column(column)
    for line in lines:
        met = line.met
        if isinstance(line.aim, float) and line.ratio is not None:
            met = line.ratio >= line.aim
        table.add_row(
            line.what,
            line.ours,
            line.floor,
            "" if line.ratio is None else f"{line.ratio:.2f}",
            f">= {line.aim}" if isinstance(line.aim, float) else line.aim,
            {None: "", True: "met", False: "missed"}[met],
        )
    Console(width=130).print(table)


def percentile(samples: Sequence[float], percent: int) -> float:
    """In the unit of the samples, of which there are at least two."""
    return quantiles(samples, n=100, method="inclusive")[percent - 1]


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"


def per_second(rate: float, unit: str) -> str:
    return f"{rate:,.0f} {unit}/s"
