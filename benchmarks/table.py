"""Result tables: measurement, baseline, their ratio and the target."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """`measured` and `baseline` are texts with units; `ratio` relates the two.

    `target` is the minimum ratio, or a text, for which `met` says whether it was reached.
    """

    label: str
    measured: str
    baseline: str = ""
    ratio: float | None = None
    target: float | str = ""
    met: bool | None = None


def print_table(title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("what", "Parley", "baseline, same run", "ratio", "target", ""):
        table.add_column(column)
    for row in rows:
        met = row.met
        if isinstance(row.target, float) and row.ratio is not None:
            met = row.ratio >= row.target
        table.add_row(
            row.label,
            row.measured,
            row.baseline,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            f">= {row.target}" if isinstance(row.target, float) else row.target,
            {None: "", True: "met", False: "missed"}[met],
        )
    Console(width=130).print(table)


def percentile(samples: Sequence[float], percent: int) -> float:
    """The percentile of at least two samples, in their unit."""
    return quantiles(samples, n=100, method="inclusive")[percent - 1]


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"


def per_second(rate: float, unit: str) -> str:
    return f"{rate:,.0f} {unit}/s"


def rate_row(
    label: str,
    unit: str,
    rate: float,
    baseline: float,
    *,
    min_ratio: float | str = "",
    min_rate: int | None = None,
) -> Row:
    measured, compared = per_second(rate, unit), per_second(baseline, unit)
    if min_rate is None:
        return Row(label, measured, compared, rate / baseline, min_ratio)
    return Row(label, measured, compared, rate / baseline, f">= {min_rate:,}/s", rate >= min_rate)


def time_row(label: str, seconds: float, baseline: float, target: float | str = "") -> Row:
    """Two times; `target` is the minimum ratio of the baseline to the measured time."""
    return Row(label, milliseconds(seconds), milliseconds(baseline), baseline / seconds, target)


def limit_row(label: str, seconds: float, limit: float) -> Row:
    """A time that should be under a limit, in seconds."""
    target = f"< {1000 * limit:.0f} ms"
    return Row(label, milliseconds(seconds), target=target, met=seconds < limit)
