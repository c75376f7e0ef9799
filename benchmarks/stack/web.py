"""Benchmark of the chat page in Chromium, with a whole stack behind it."""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Row, print_table

TOKEN_RATIO, FRAMES_TARGET, LONG_TASK_MS, SWITCH_MS, IDLE_TARGET = 1.5, 58, 50, 150, 0.01
HOSTILE_MS, PASTE_MS, KEY_MS, COLD_MS = 100, 200, 50, 1_000


async def run() -> None:
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        file = Path(folder) / "figures.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tools.web", "test", "profile", "--reporter=dot"),
            env={**os.environ, "PARLEY_TEST_PROFILE": str(file)},
        )
        await process.wait()
        print_table("The chat page in Chromium", _rows(json.loads(file.read_text())))


def _rows(figures: dict[str, float]) -> list[Row]:
    rows = [
        Row(
            f"script time of a token at 100 tokens/s, {where}",
            f"{figures[f'{name}Script']:.2f} ms",
            f"{figures[f'{baseline}Script']:.2f} ms",
            figures[f"{name}Script"] / figures[f"{baseline}Script"],
            f"<= {TOKEN_RATIO}" if name != baseline else "",
            figures[f"{name}Script"] <= TOKEN_RATIO * figures[f"{baseline}Script"]
            if name != baseline
            else None,
        )
        for name, baseline, where in (
            ("short", "short", "empty session"),
            ("long", "short", "2,000 messages"),
            ("words", "words", "after 10,000 words"),
            ("both", "words", "both"),
        )
    ]
    for name, where in (
        ("short", "empty session"),
        ("words", "after 10,000 words"),
        ("long", "2,000 messages"),
        ("both", "both"),
    ):
        frames, worst = figures[f"{name}Frames"], figures[f"{name}Worst"]
        rows += [
            _at_least(f"frames meanwhile, {where}", frames, FRAMES_TARGET),
            _at_most(f"longest task meanwhile, {where}", worst, LONG_TASK_MS),
        ]
    return [
        *rows,
        _at_most("2,000 messages: first text, not cached", figures["openCold"], COLD_MS),
        _at_most("the same, cached", figures["openCached"], SWITCH_MS),
        _at_most("the same, all messages loaded", figures["openCachedWhole"], SWITCH_MS),
        _at_most("longest task while scrolling", figures["scrollWorst"], LONG_TASK_MS),
        _at_least("frames while scrolling", figures["scrollFrames"], FRAMES_TARGET),
        _at_most("key to paint, p95", figures["keyToPaint"], KEY_MS),
        Row("elements in the document, all messages loaded", f"{figures['nodes']:,.0f}"),
        _share("main thread of an idle tab", figures["idle"]),
        _share("the same with 2,000 messages", figures["idleLong"]),
        _at_most("longest task of a paste of 1 MB", figures["pasteWorst"], PASTE_MS),
        _at_most("longest task of the worst hostile reply", figures["hostileWorst"], HOSTILE_MS),
        Row("first paint, page cached by the browser", f"{figures['firstPaint']:.0f} ms"),
        Row("scripts and styles of the first load", f"{figures['firstLoadBytes']:,.0f} bytes"),
        *(
            _at_most(f"longest task, {name}", value, HOSTILE_MS)
            for name, value in figures.items()
            if name.startswith("hostile ") and value > LONG_TASK_MS
        ),
    ]


def _at_most(label: str, milliseconds: float, limit: float) -> Row:
    measured = f"{milliseconds:.0f} ms" if milliseconds else f"under {LONG_TASK_MS} ms"
    return Row(label, measured, target=f"<= {limit} ms", met=milliseconds <= limit)


def _at_least(label: str, frames: float, limit: float) -> Row:
    return Row(label, f"{frames:.1f}/s", target=f">= {limit:.0f}/s", met=frames >= limit)


def _share(label: str, share: float) -> Row:
    return Row(label, f"{100 * share:.2f} %", target="< 1 %", met=share < IDLE_TARGET)
