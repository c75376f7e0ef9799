"""A person lists their sessions: what is projected so far, with titles and metadata opened."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol
from uuid import UUID

from parley_contracts.api_models import ForkPointShape, Page, SessionShape
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey, unseal
from parley_core.http.errors import InvalidRequest
from parley_history.change_feed.projection_wait import ProjectionWaiter
from parley_history.queries.sessions.repository import ListedSession, SessionPages
from parley_history.queries.sessions.request import SessionListRequest


class Keys(Protocol):
    """`content_keys.ContentKeys` is one."""

    async def of_many(
        self, owners: Collection[UUID], request_id: str
    ) -> Mapping[UUID, DataKey]: ...


class SessionLister:
    def __init__(self, pages: SessionPages, waiting: ProjectionWaiter, keys: Keys) -> None:
        self._pages, self._waiting, self._keys = pages, waiting, keys

    async def page(self, person: Principal, request_id: str, asked: SessionListRequest) -> bytes:
        """The JSON of a page. Raises a ParleyError.

        A session whose key was destroyed is left out, though it may be the page's first or last.
        """
        await self._waiting.for_all(asked.seen)
        stored = await self._pages.read(person, asked)
        if stored is None:
            param = "after" if asked.after else "before"
            raise InvalidRequest("There is no such session.", param=param)
        sealed = [row.id for row in stored.sessions if row.title or row.metadata]
        keys = await self._keys.of_many(sealed, request_id) if sealed else {}
        left_out = {*sealed} - keys.keys()
        page = Page[SessionShape](
            data=[
                session_shape(row, keys.get(row.id))
                for row in stored.sessions
                if row.id not in left_out
            ],
            first_id=stored.sessions[0].id if stored.sessions else None,
            last_id=stored.sessions[-1].id if stored.sessions else None,
            has_more=stored.has_more,
        )
        return page.to_json()


def session_shape(row: ListedSession, key: DataKey | None) -> SessionShape:
    title = _opened(row, key, "title", row.title, row.title_event_id)
    origin, message_id = row.forked_from_session_id, row.forked_from_message_id
    return SessionShape(
        id=row.id,
        assistant_id=row.assistant_id,
        title=title.get("text"),
        metadata=_opened(row, key, "metadata", row.metadata, row.metadata_event_id),
        archived=row.archived,
        legal_hold=row.held,
        open_turn_id=row.open_turn_id,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        expires_at=row.expires_at,
        forked_from=ForkPointShape(session_id=origin, message_id=message_id)
        if origin and message_id
        else None,
    )


def _opened(
    row: ListedSession, key: DataKey | None, field: str, sealed: bytes | None, event_id: UUID | None
) -> dict[str, Any]:
    if key is None or sealed is None or event_id is None:
        return {}
    return unseal(key, sealed, session_id=row.id, event_id=event_id, field=field)
