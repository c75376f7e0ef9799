"""Searches the messages of a person and decrypts the matches."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct
from pydantic import Field

from parley_contracts.session_api.keys import Person
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, unseal
from parley_core.http.errors import InvalidRequest
from parley_core.http.person_limit import PersonLimit, PersonShare
from parley_core.runtime.settings import Count, SettingsGroup
from parley_history.queries.messages.page_json import MessageJson, message_json
from parley_history.queries.search.blind_tokens import tokens_of
from parley_history.queries.search.match_repository import (
    FIRST_PAGE,
    MatchRepository,
    SearchCursor,
    SearchMatch,
)
from parley_history.queries.search.request import SearchRequest
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


class SearchLimitSettings(SettingsGroup):
    max_concurrent: Count = Field(
        default=50, description="the number of searches that may run at once, from 1"
    )
    max_person_share: PersonShare = Field(
        default=0.2,
        description="the share of these searches that one person may have, over 0 and up to 1",
    )


class MessageSearch:
    def __init__(
        self,
        matches: MatchRepository,
        keys: DataKeyCache,
        search_keys: KeyCache[Person],
        settings: SearchLimitSettings,
    ) -> None:
        self._matches, self._keys, self._search_keys = matches, keys, search_keys
        self._limit = PersonLimit(
            settings.max_concurrent,
            settings.max_person_share,
            things="searches",
            person_code="too_many_searches",
            busy_code="history_busy",
        )

    async def search(self, caller: Caller, request: SearchRequest) -> bytes:
        """Return the JSON of a page of results. Raises ParleyError."""
        with self._limit.slot(caller.principal):
            return await self._search(caller, request)

    async def _search(self, caller: Caller, request: SearchRequest) -> bytes:
        principal = caller.principal
        cursor = await self._cursor(request.after, principal)
        owner = Person(principal.tenant, principal.user)
        search_keys = await self._search_keys.get_many([owner], caller.request_id)
        if owner not in search_keys:
            return _page([], has_more=False)
        tokens = tokens_of(search_keys[owner], request.words)
        matches = await self._matches.after(cursor, tokens, principal, request)
        page = _without_split_copies(matches, request.limit)
        session_ids = {match.message.session_id for match in page}
        keys = await self._keys.get_many(session_ids, caller.request_id)
        return _page(_results(page, keys), has_more=len(matches) > request.limit)

    async def _cursor(self, after: UUID | None, owner: Principal) -> SearchCursor:
        if after is None:
            return FIRST_PAGE
        if (cursor := await self._matches.cursor_at(after, owner)) is None:
            raise InvalidRequest("There is no such message.", param="after")
        return cursor


def _without_split_copies(matches: Sequence[SearchMatch], limit: int) -> Sequence[SearchMatch]:
    """The page, ended before the copies of a message of which the next page has some.

    Copies are the same message imported into several sessions. The cursor is a message id, and so
    would pass over those that are left.
    """
    page = matches[:limit]
    if len(matches) == len(page):
        return page
    whole = [match for match in page if match.message.id != matches[limit].message.id]
    return whole or page


def _results(page: Sequence[SearchMatch], keys: Mapping[UUID, DataKey]) -> list[_Result]:
    """Omit matches without a key: their session is erased, and the erasure not projected yet."""
    return [
        _Result(
            "search_result",
            match.message.session_id,
            _title(match, keys[match.message.session_id]),
            message_json(match.message, keys[match.message.session_id]),
        )
        for match in page
        if match.message.session_id in keys
    ]


def _title(match: SearchMatch, key: DataKey) -> str | None:
    if match.title is None or match.title_event_id is None:
        return None
    context = {"session_id": match.message.session_id, "event_id": match.title_event_id}
    return str(unseal(key, match.title, **context, field="title").get("text", ""))


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
