"""Incremental Markdown rendering: the completed blocks of a growing text, and the rest."""

import re
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
# A paragraph, heading or fence at the margin cannot continue the list or quote before it.
_NEW_BLOCK = re.compile(r"\n\s*\n(?=[^\s\-*+>|\d])")
# A terminal executes these instead of showing them.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), 127, *range(128, 160)])


def without_control_characters(text: str) -> str:
    return text.translate(_CONTROLS)


def completed_length(text: str) -> int:
    """The number of leading characters in blocks that further text cannot change."""
    ends = [match.end() for match in _NEW_BLOCK.finditer(text)]
    for end in reversed(ends):
        if len(_FENCE.findall(text, 0, end)) % 2 == 0:
            return end
    return 0


@dataclass
class IncrementalMarkdown:
    """Renders the last lines of the text that fit on the screen."""

    text: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self.text), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()
