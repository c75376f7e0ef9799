"""Lists a person's sessions from the read model, with decrypted titles and metadata."""

from typing import Any
from uuid import UUID

from parley_contracts.api_models import ForkPointShape, Page, SessionShape
from parley_core.auth.caller import Caller
from parley_core.crypto.sealing import DataKey, unseal
from parley_core.http.errors import InvalidRequest
from parley_history.queries.sessions.committed_versions import (
    CommittedVersions,
    sessions_behind,
)
from parley_history.queries.sessions.repository import ListedSession, SessionRepository
from parley_history.queries.sessions.request import SessionListRequest
from parley_history.session_service.key_cache import DataKeyCache


class SessionLister:
    def __init__(
        self,
        sessions: SessionRepository,
        committed: CommittedVersions,
        keys: DataKeyCache,
    ) -> None:
        self._sessions, self._committed, self._keys = sessions, committed, keys

    async def list(self, caller: Caller, request: SessionListRequest) -> bytes:
        """Return the JSON of a page. Raises ParleyError.

        A session whose key is destroyed is omitted, even if `first_id` or `last_id` names it.
        """
        behind = not await self._committed.are_projected(caller)
        if behind and not request.allow_behind:
            raise sessions_behind()
        stored = await self._sessions.read(caller.principal, request)
        if stored is None:
            param = "after" if request.after else "before"
            raise InvalidRequest("The list has no such session.", param=param)
        sealed = [row.id for row in stored.sessions if row.title or row.metadata]
        keys = await self._keys.get_many(sealed, caller.request_id) if sealed else {}
        without_key = {*sealed} - keys.keys()
        page = Page[SessionShape](
            data=[
                session_shape(row, keys.get(row.id))
                for row in stored.sessions
                if row.id not in without_key
            ],
            first_id=stored.sessions[0].id if stored.sessions else None,
            last_id=stored.sessions[-1].id if stored.sessions else None,
            has_more=stored.has_more,
            behind=behind or None,
        )
        return page.to_json()


def session_shape(row: ListedSession, key: DataKey | None) -> SessionShape:
    title = _unsealed(row, key, "title", row.title, row.title_event_id)
    origin, message_id = row.forked_from_session_id, row.forked_from_message_id
    return SessionShape(
        id=row.id,
        assistant_id=row.assistant_id,
        title=title.get("text"),
        metadata=_unsealed(row, key, "metadata", row.metadata, row.metadata_event_id),
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


def _unsealed(
    row: ListedSession, key: DataKey | None, field: str, sealed: bytes | None, event_id: UUID | None
) -> dict[str, Any]:
    if key is None or sealed is None or event_id is None:
        return {}
    return unseal(key, sealed, session_id=row.id, event_id=event_id, field=field)
