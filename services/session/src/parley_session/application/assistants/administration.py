"""What administrators do with the assistants of their tenant."""

from collections.abc import Mapping

from parley_core.http.errors import Conflict
from parley_session.application.command_executor import Caller, moment_of, utc_now
from parley_session.domain.assistant.decide import (
    AssistantCommand,
    DefineAssistant,
    RetireAssistant,
    ReviseAssistant,
    decide_assistant,
)
from parley_session.domain.assistant.errors import AssistantIdTaken, AssistantShared
from parley_session.domain.assistant.state import Definition
from parley_session.storage.assistant_store import AssistantStore


class AssistantAdministration:
    """Each raises an AssistantError, or Conflict when others change the assistant meanwhile."""

    def __init__(self, store: AssistantStore, *, attempts: int, most: int) -> None:
        """A tenant has at most `most`, or as many more as are defined at the same moment."""
        self._store, self._attempts, self._most = store, attempts, most

    async def define(
        self, assistant_id: str, definition: Definition, asker: Caller, *, again: bool
    ) -> bool:
        """Whether it is new; with `again` the same definition may be there already."""
        return await self._execute(assistant_id, DefineAssistant(definition, again), asker)

    async def revise(
        self, assistant_id: str, changes: Mapping[str, str | None], asker: Caller
    ) -> None:
        """New values for fields of the definition, by name."""
        await self._execute(assistant_id, ReviseAssistant(changes), asker)

    async def retire(self, assistant_id: str, asker: Caller) -> None:
        await self._execute(assistant_id, RetireAssistant(), asker)

    async def _execute(self, assistant_id: str, command: AssistantCommand, asker: Caller) -> bool:
        tenant = asker.person.tenant
        for _ in range(self._attempts):
            own = await self._store.load(tenant, assistant_id)
            if own is None:
                await self._require_free(tenant, assistant_id, command)
            moment = moment_of(asker, utc_now())
            event = decide_assistant(tenant, assistant_id, own, command, moment)
            if event is None:
                return False
            if await self._store.append(own, event):
                return True
        raise Conflict("Others are changing this assistant; try again.", code="assistant_changed")

    async def _require_free(
        self, tenant: str, assistant_id: str, command: AssistantCommand
    ) -> None:
        """Raises where an assistant that the tenant does not have cannot be its own."""
        defines = isinstance(command, DefineAssistant)
        if await self._store.load(None, assistant_id):
            raise AssistantIdTaken if defines else AssistantShared
        if defines and await self._store.count(tenant) >= self._most:
            raise Conflict(
                f"A tenant has {self._most} assistants at most: retire one.", code="assistants_full"
            )
