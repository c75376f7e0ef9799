"""Search request, parsed from a JSON body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import DEFAULT_LIMIT, MAX_LIMIT
from parley_history.queries.search.words import words_of_query

MAX_QUERY_LENGTH = 500


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A match contains all words; `after` is the message id of an earlier match, as a cursor."""

    words: frozenset[str]
    limit: int = DEFAULT_LIMIT
    after: UUID | None = None
    assistant_id: str | None = None
    session_id: UUID | None = None


def parse_search_request(body: bytes) -> SearchRequest:
    """Raises InvalidRequest with the name of the field."""
    fields = _parse_object(body)
    for name in fields.keys() - {"query", "limit", "after", "assistant_id", "session_id"}:
        raise InvalidRequest("Unknown field.", param=name[:256])
    return SearchRequest(
        words=_parse_words(fields.get("query")),
        limit=_parse_limit(fields.get("limit")),
        after=_parse_id(fields, "after"),
        assistant_id=_parse_string(fields, "assistant_id"),
        session_id=_parse_id(fields, "session_id"),
    )


def _parse_object(body: bytes) -> Mapping[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except ValueError:
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("The body should be a JSON object.")
    return fields


def _parse_words(query: object) -> frozenset[str]:
    if query is None:
        raise InvalidRequest("This field is required.", param="query")
    if not isinstance(query, str) or not 1 <= len(query) <= MAX_QUERY_LENGTH:
        problem = f"query should be a string of 1 to {MAX_QUERY_LENGTH} characters."
        raise InvalidRequest(problem, param="query")
    if not (words := words_of_query(query)):
        raise InvalidRequest("The query contains no word.", param="query")
    return frozenset(words)


def _parse_limit(limit: object) -> int:
    if limit is None:
        return DEFAULT_LIMIT
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        problem = f"limit should be a whole number from 1 to {MAX_LIMIT}."
        raise InvalidRequest(problem, param="limit")
    return limit


def _parse_string(fields: Mapping[str, Any], name: str) -> str | None:
    if (value := fields.get(name)) is None:
        return None
    if not isinstance(value, str) or "\0" in value:
        raise InvalidRequest(f"{name} should be a string.", param=name)
    return value


def _parse_id(fields: Mapping[str, Any], name: str) -> UUID | None:
    if (text := _parse_string(fields, name)) is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be an id.", param=name) from None
