"""Markdown that is still being written: which part of it is finished, and the rest as it grows."""

import re
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
# A paragraph, heading or fence at the margin: it cannot be part of the list or quote before it.
_NEW_BLOCK = re.compile(r"\n\s*\n(?=[^\s\-*+>|\d])")
# What a terminal would obey instead of showing it.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), 127, *range(128, 160)])


def shown(text: str) -> str:
    """The text without control characters."""
    return text.translate(_CONTROLS)


def finished_part(text: str) -> int:
    """How many characters of the text belong to blocks that nothing can change any more."""
    ends = [match.end() for match in _NEW_BLOCK.finditer(text)]
    for end in reversed(ends):
        if len(_FENCE.findall(text, 0, end)) % 2 == 0:
            return end
    return 0


@dataclass
class IncrementalMarkdown:
    """Renders as the last lines of its text that fit the screen."""

    text: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self.text), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()
