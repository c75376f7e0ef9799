"""In which form an export is asked for."""

from collections.abc import Mapping
from typing import Literal

from parley_core.http.errors import InvalidRequest

Form = Literal["json", "markdown"]


def form_in(query: Mapping[str, str]) -> Form:
    """Raises InvalidRequest."""
    match query.get("format", "json"):
        case "json":
            return "json"
        case "markdown":
            return "markdown"
        case _:
            raise InvalidRequest("format should be json or markdown.", param="format")
