"""What is searched for, read from the body of a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from parley_core.http.errors import InvalidRequest
from parley_core.http.pagination import DEFAULT_LIMIT, MAX_LIMIT
from parley_history.queries.search.blind_tokens import words_of

QUERY_MOST = 500


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """All the words must be in a message; `after` is the id of one that was found before."""

    words: frozenset[str]
    limit: int = DEFAULT_LIMIT
    after: UUID | None = None
    assistant_id: str | None = None
    session_id: UUID | None = None


def search_request_of(body: bytes) -> SearchRequest:
    """Raises InvalidRequest, which names the field."""
    fields = _fields(body)
    for name in fields.keys() - {"query", "limit", "after", "assistant_id", "session_id"}:
        raise InvalidRequest("This field is not known here.", param=name[:256])
    return SearchRequest(
        words=_words(fields.get("query")),
        limit=_limit(fields.get("limit")),
        after=_id(fields, "after"),
        assistant_id=_text(fields, "assistant_id"),
        session_id=_id(fields, "session_id"),
    )


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except ValueError:
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("The body should be a JSON object.")
    return fields


def _words(query: object) -> frozenset[str]:
    if query is None:
        raise InvalidRequest("This field is required.", param="query")
    if not isinstance(query, str) or not 1 <= len(query) <= QUERY_MOST:
        problem = f"query should be a text of 1 to {QUERY_MOST} characters."
        raise InvalidRequest(problem, param="query")
    if not (words := words_of(query)):
        raise InvalidRequest("There is no word in this query.", param="query")
    return frozenset(words)


def _limit(limit: object) -> int:
    if limit is None:
        return DEFAULT_LIMIT
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        problem = f"limit should be a whole number from 1 to {MAX_LIMIT}."
        raise InvalidRequest(problem, param="limit")
    return limit


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    if (value := fields.get(name)) is None:
        return None
    if not isinstance(value, str) or "\0" in value:
        raise InvalidRequest(f"{name} should be a text.", param=name)
    return value


def _id(fields: Mapping[str, Any], name: str) -> UUID | None:
    if (text := _text(fields, name)) is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} should be an id.", param=name) from None
