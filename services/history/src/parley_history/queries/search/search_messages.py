"""A person searches what was said in their sessions."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, unseal
from parley_core.http.errors import InvalidRequest
from parley_history.queries.messages.page_json import MessageJson, message_of
from parley_history.queries.search.blind_tokens import tokens_of
from parley_history.queries.search.match_repository import (
    NOWHERE_YET,
    MatchRepository,
    Place,
    SearchMatch,
)
from parley_history.queries.search.request import SearchRequest
from parley_history.session_service.client import Person
from parley_history.session_service.key_cache import DataKeyCache, KeyCache

_encode = msgspec.json.Encoder().encode


class _Result(Struct, frozen=True):
    object: str
    session_id: UUID
    session_title: str | None
    message: MessageJson


class _Results(Struct, frozen=True):
    object: str
    data: Sequence[_Result]
    first_id: UUID | None
    last_id: UUID | None
    has_more: bool


class MessageSearch:
    def __init__(
        self, found: MatchRepository, keys: DataKeyCache, search_keys: KeyCache[Person]
    ) -> None:
        self._found, self._keys, self._search_keys = found, keys, search_keys

    async def search(self, person: Principal, request_id: str, asked: SearchRequest) -> bytes:
        """The JSON of a page of results. Raises a ParleyError."""
        place = await self._place(asked.after, person)
        owner = Person(person.tenant, person.user)
        search_keys = await self._search_keys.of_many([owner], request_id)
        if owner not in search_keys:
            return _page([], has_more=False)
        tokens = tokens_of(search_keys[owner], asked.words)
        found = await self._found.after(place, tokens, person, asked)
        page = found[: asked.limit]
        keys = await self._keys.of_many({one.message.session_id for one in page}, request_id)
        return _page(_results(page, keys), has_more=len(found) > asked.limit)

    async def _place(self, after: UUID | None, person: Principal) -> Place:
        if after is None:
            return NOWHERE_YET
        if (place := await self._found.place_of(after, person)) is None:
            raise InvalidRequest("There is no such message.", param="after")
        return place


def _results(page: Sequence[SearchMatch], keys: Mapping[UUID, DataKey]) -> list[_Result]:
    """Without those whose key is gone: their erasure is on its way."""
    return [
        _Result(
            "search_result",
            one.message.session_id,
            _title(one, keys[one.message.session_id]),
            message_of(one.message, keys[one.message.session_id]),
        )
        for one in page
        if one.message.session_id in keys
    ]


def _title(one: SearchMatch, key: DataKey) -> str | None:
    if one.title is None or one.title_event_id is None:
        return None
    place = {"session_id": one.message.session_id, "event_id": one.title_event_id}
    return str(unseal(key, one.title, **place, field="title").get("text", ""))


def _page(data: Sequence[_Result], *, has_more: bool) -> bytes:
    return _encode(
        _Results(
            "list",
            data,
            first_id=data[0].message.id if data else None,
            last_id=data[-1].message.id if data else None,
            has_more=has_more,
        )
    )
