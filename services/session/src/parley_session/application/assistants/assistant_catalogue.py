"""Assistant catalogue: the assistants that a tenant can use, cached for a second."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from parley_contracts.api_models import Assistant
from parley_contracts.session_api.limits import ASSISTANT_ID_PATTERN
from parley_core.http.errors import Conflict, InvalidRequest
from parley_core.runtime.single_flight_cache import SingleFlightCache
from parley_events.assistant import AssistantDefinition
from parley_session.application.assistants.page_query import PageQuery
from parley_session.domain.assistant.errors import AssistantNotFound
from parley_session.storage.assistant_repository import AssistantRepository

# Other ids are not looked up: Postgres rejects a zero byte in text.
_ID = re.compile(ASSISTANT_ID_PATTERN)

MAX_CACHED_BYTES = 16 * 1024 * 1024
"""Of the cache of current definitions, and of that of versions: 4,000 with short instructions."""
# Rough memory of an assistant beside its instructions.
_ASSISTANT_BYTES = 4_096
# How long a change by another replica may go unnoticed.
_TTL_SECONDS = 1


@dataclass(frozen=True, slots=True)
class CataloguedAssistant:
    """The public API model, and what the model server is sent; `shared` by all tenants."""

    shape: Assistant
    model: str
    instructions: str
    shared: bool


class AssistantCatalogue:
    """Caches current definitions for a second, and versions, which never change, by LRU."""

    def __init__(
        self,
        repository: AssistantRepository,
        default_model: str,
        *,
        max_bytes: int = MAX_CACHED_BYTES,
        ttl_seconds: float = _TTL_SECONDS,
    ) -> None:
        """`default_model` is that of assistants without a model of their own."""
        self._repository, self._default_model = repository, default_model
        self._current = SingleFlightCache[tuple[str, str | None], CataloguedAssistant](
            max_bytes, ttl_seconds, size_of=_memory_bytes
        )
        self._versions = SingleFlightCache[tuple[str, str, int], CataloguedAssistant](
            max_bytes, size_of=_memory_bytes
        )

    async def get(self, tenant: str, assistant_id: str | None) -> CataloguedAssistant:
        """The assistant, or the default one for None. Raises AssistantNotFound."""
        return await self._current.get(
            (tenant, assistant_id), lambda: self.read(tenant, assistant_id)
        )

    async def get_for_new_session(
        self, tenant: str, assistant_id: str | None
    ) -> CataloguedAssistant:
        """Raises AssistantNotFound, and Conflict for a retired assistant."""
        assistant = await self.get(tenant, assistant_id)
        if assistant.shape.retired:
            raise Conflict(
                "The assistant is retired. Start the session with another one.",
                code="assistant_retired",
                param="assistant_id",
            )
        return assistant

    async def version(self, tenant: str, assistant_id: str, version: int) -> CataloguedAssistant:
        """The assistant as defined at that version. Raises AssistantNotFound."""
        key = (tenant, assistant_id, version)
        return await self._versions.get(key, lambda: self._read_version(*key))

    def clear_cache(self) -> None:
        """Call after a change in this process, which must be visible at once."""
        self._current.clear()

    async def read(self, tenant: str, assistant_id: str | None) -> CataloguedAssistant:
        """Like `get`, without the cache."""
        if assistant_id is None:
            return self._found(await self._repository.find_default())
        if not _ID.fullmatch(assistant_id):
            raise AssistantNotFound
        return self._found(await self._repository.find(tenant, assistant_id))

    async def list_page(
        self, tenant: str, query: PageQuery
    ) -> tuple[Sequence[CataloguedAssistant], bool]:
        """A page of assistants in the order of their definition, and whether more follow.

        Raises InvalidRequest for an unknown cursor.
        """
        position = await self._cursor_position(tenant, query)
        rows = await self._repository.page(
            tenant, position, query.limit + 1, descending=query.older
        )
        found = [self._catalogued(row) for row in rows[: query.limit]]
        return found[::-1] if query.before is not None else found, len(rows) > query.limit

    async def _cursor_position(self, tenant: str, query: PageQuery) -> int | None:
        if query.cursor is None:
            return None
        position: int | None = None
        if _ID.fullmatch(query.cursor):
            position = await self._repository.position(tenant, query.cursor)
        if position is None:
            name = "before" if query.after is None else "after"
            raise InvalidRequest(f"`{name}` must be the id of an assistant.", param=name)
        return position

    async def _read_version(
        self, tenant: str, assistant_id: str, version: int
    ) -> CataloguedAssistant:
        return self._found(await self._repository.find_version(tenant, assistant_id, version))

    def _found(self, row: asyncpg.Record | None) -> CataloguedAssistant:
        if row is None:
            raise AssistantNotFound
        return self._catalogued(row)

    def _catalogued(self, row: asyncpg.Record) -> CataloguedAssistant:
        data = AssistantDefinition.model_validate_json(row["data"])
        model = data.model or self._default_model
        shape = Assistant(
            id=row["id"],
            version=row["version"],
            name=data.name,
            description=data.description,
            model=model,
            default=row["is_default"],
            retired=row["retired"],
        )
        return CataloguedAssistant(shape, model, data.instructions, row["tenant"] is None)


def _memory_bytes(assistant: CataloguedAssistant) -> int:
    return _ASSISTANT_BYTES + sys.getsizeof(assistant.instructions)
