"""Administration of a tenant's assistants: define, revise, retire."""

from collections.abc import Mapping

from parley_core.auth.caller import Caller
from parley_core.http.errors import Conflict
from parley_session.application.audit.audit_data import audited_assistant
from parley_session.application.command_executor import (
    MAX_APPEND_ATTEMPTS,
    command_metadata_for,
    utc_now,
)
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

MAX_ASSISTANTS_PER_TENANT = 1_000
"""Bounds what a tenant can store; concurrent definitions may exceed it by their number."""


class AssistantAdministration:
    """Every method raises AssistantError, and Conflict after too many concurrent changes."""

    def __init__(
        self,
        store: AssistantStore,
        *,
        max_attempts: int = MAX_APPEND_ATTEMPTS,
        max_assistants: int,
    ) -> None:
        self._store, self._max_attempts = store, max_attempts
        self._max_assistants = max_assistants

    async def define(
        self, assistant_id: str, definition: Definition, caller: Caller, *, allow_existing: bool
    ) -> bool:
        """Whether it is new; with `allow_existing` the same definition may exist."""
        return await self._execute(
            assistant_id, DefineAssistant(definition, allow_existing), caller
        )

    async def revise(
        self, assistant_id: str, changes: Mapping[str, str | None], caller: Caller
    ) -> None:
        """Change fields of the definition, by name."""
        await self._execute(assistant_id, ReviseAssistant(changes), caller)

    async def retire(self, assistant_id: str, caller: Caller) -> None:
        await self._execute(assistant_id, RetireAssistant(), caller)

    async def _execute(self, assistant_id: str, command: AssistantCommand, caller: Caller) -> bool:
        """Whether the command changed anything."""
        tenant = caller.principal.tenant
        for _ in range(self._max_attempts):
            assistant = await self._store.load(tenant, assistant_id)
            if assistant is None:
                await self._require_allowed(tenant, assistant_id, command)
            metadata = command_metadata_for(caller, utc_now())
            event = decide_assistant(tenant, assistant_id, assistant, command, metadata)
            if event is None:
                return False
            audited = audited_assistant(event, assistant_id, caller)
            if await self._store.append(assistant, event, audited):
                return True
        raise Conflict(
            "The assistant was changed concurrently. Please retry.", code="assistant_changed"
        )

    async def _require_allowed(
        self, tenant: str, assistant_id: str, command: AssistantCommand
    ) -> None:
        """Checks a command on an assistant that the tenant itself does not have."""
        defines = isinstance(command, DefineAssistant)
        if await self._store.load(None, assistant_id):
            raise AssistantIdTaken if defines else AssistantShared
        if defines and await self._store.count(tenant) >= self._max_assistants:
            raise Conflict(
                f"A tenant has at most {self._max_assistants} assistants. Retire one first.",
                code="assistants_full",
            )
