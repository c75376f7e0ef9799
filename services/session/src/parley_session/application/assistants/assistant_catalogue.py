"""The assistants as sessions find them: read from the store, and kept for a second."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from parley_contracts.api_models import Assistant
from parley_contracts.session_api.limits import ASSISTANT_ID_PATTERN
from parley_core.http.errors import Conflict, InvalidRequest
from parley_core.storage.postgres_pool import Pool
from parley_events.assistant import AssistantDefinition
from parley_session.api.assistant_refusing import assistant_not_found
from parley_session.application.assistants.page_query import PageQuery
from parley_session.application.assistants.single_flight_cache import SingleFlightCache

# What cannot be one is not asked for: the database takes no zero byte.
_ID = re.compile(ASSISTANT_ID_PATTERN)

# A tenant's own one comes before every tenant's of the same id.
_FIND = """
SELECT a.tenant, a.id, a.version, a.is_default, a.retired, e.data
FROM assistants a JOIN assistant_events e ON e.stream_id = a.stream_id AND e.sequence = {version}
WHERE {which} ORDER BY a.tenant NULLS LAST LIMIT 1
"""
_OF_ID = "a.id = $2 AND (a.tenant = $1 OR a.tenant IS NULL)"
_NEWEST = _FIND.format(version="a.version", which=_OF_ID)
_AT_VERSION = _FIND.format(version="$3", which=_OF_ID)
_DEFAULT = _FIND.format(
    version="a.version", which="a.tenant IS NULL AND a.is_default AND NOT a.retired"
)

_LISTED = """
SELECT a.tenant, a.id, a.version, a.is_default, a.retired, e.data
FROM assistants a JOIN assistant_events e ON e.stream_id = a.stream_id AND e.sequence = a.version
WHERE (a.tenant = $1 OR a.tenant IS NULL AND NOT EXISTS (
        SELECT FROM assistants own WHERE own.tenant = $1 AND own.id = a.id
    )) AND NOT a.retired AND ($2::bigint IS NULL OR a.place {beyond} $2)
ORDER BY a.place {order} LIMIT $3
"""
_UPWARD = _LISTED.format(beyond=">", order="ASC")
_DOWNWARD = _LISTED.format(beyond="<", order="DESC")

_PLACE = """
SELECT place FROM assistants
WHERE id = $2 AND (tenant = $1 OR tenant IS NULL) ORDER BY tenant NULLS LAST LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class CataloguedAssistant:
    """What clients see of an assistant, and what the model is told; shared is every tenant's."""

    shape: Assistant
    model: str
    instructions: str
    shared: bool


class Catalogue:
    """What was read is used for a second; what is of one version, for as long as there is room."""

    def __init__(
        self, pool: Pool, default_model: str, *, most_kept: int, seconds: float = 1
    ) -> None:
        self._pool, self._default_model = pool, default_model
        self._newest = SingleFlightCache[tuple[str, str | None], CataloguedAssistant](
            most_kept, seconds
        )
        self._versions = SingleFlightCache[tuple[str, str, int], CataloguedAssistant](most_kept)

    async def get(self, tenant: str, assistant_id: str | None) -> CataloguedAssistant:
        """The assistant, or the default one for None. Raises NotFound."""
        return await self._newest.get(
            (tenant, assistant_id), lambda: self.read(tenant, assistant_id)
        )

    async def open_to(self, tenant: str, assistant_id: str | None) -> CataloguedAssistant:
        """The assistant, for a new session. Raises NotFound, and Conflict for a retired one."""
        assistant = await self.get(tenant, assistant_id)
        if assistant.shape.retired:
            raise Conflict(
                "This assistant was retired: start the session with another.",
                code="assistant_retired",
                param="assistant_id",
            )
        return assistant

    async def version(self, tenant: str, assistant_id: str, version: int) -> CataloguedAssistant:
        """The assistant as it was defined at that version. Raises NotFound."""
        arguments = (tenant, assistant_id, version)
        return await self._versions.get(arguments, lambda: self._one(_AT_VERSION, *arguments))

    def forget(self) -> None:
        """Something was changed here."""
        self._newest.clear()

    async def read(self, tenant: str, assistant_id: str | None) -> CataloguedAssistant:
        """`get`, as it is stored now."""
        if assistant_id is None:
            return await self._one(_DEFAULT)
        if not _ID.match(assistant_id):
            raise assistant_not_found()
        return await self._one(_NEWEST, tenant, assistant_id)

    async def listed(
        self, tenant: str, query: PageQuery
    ) -> tuple[Sequence[CataloguedAssistant], bool]:
        """A page of the assistants that are not retired, and whether more follow.

        In the order in which they were defined, or the other way round. Raises InvalidRequest.
        """
        place = await self._place(tenant, query)
        statement = _DOWNWARD if query.older else _UPWARD
        rows = await self._pool.fetch(statement, tenant, place, query.limit + 1)
        found = [self._catalogued(row) for row in rows[: query.limit]]
        return found[::-1] if query.before is not None else found, len(rows) > query.limit

    async def _place(self, tenant: str, query: PageQuery) -> int | None:
        if query.cursor is None:
            return None
        place: int | None = None
        if _ID.match(query.cursor):
            place = await self._pool.fetchval(_PLACE, tenant, query.cursor)
        if place is None:
            name = "before" if query.after is None else "after"
            raise InvalidRequest(f"{name} is no assistant's id.", param=name)
        return place

    async def _one(self, statement: str, *arguments: object) -> CataloguedAssistant:
        row = await self._pool.fetchrow(statement, *arguments)
        if row is None:
            raise assistant_not_found()
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
