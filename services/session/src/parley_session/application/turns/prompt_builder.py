"""Prompt builder: assembles the input of a turn from its context window and assistant."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_contracts.session_api.turns import (
    CompactionTask,
    PromptContext,
    PromptMessage,
    TurnInput,
)
from parley_core.crypto.sealing import DataKey
from parley_core.runtime.offload import run_in_thread_if_large
from parley_events.session import Event
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.event_mapper import (
    content_of,
    parameters_of,
    summary_of,
    turn_of,
)
from parley_session.application.token_counter import count_instruction_tokens
from parley_session.domain.context_window import CachedWindow, ContextWindow, context_window
from parley_session.domain.session.state import MessageNode, OpenTurn, Session
from parley_session.storage.event_store import EventStore, LoadedSession

# A title that the first turn did not produce is requested again with the next ones.
_MAX_TURNS_WITHOUT_TITLE = 3


class PromptBuilder:
    """`default_context_tokens` is the budget of models for which the runner sends none."""

    def __init__(
        self, store: EventStore, assistants: AssistantCatalogue, default_context_tokens: int
    ) -> None:
        self._store, self._assistants = store, assistants
        self._default_context_tokens = default_context_tokens

    async def build(
        self,
        loaded: LoadedSession,
        open_turn: OpenTurn,
        sequences: Sequence[int],
        cached: CachedWindow | None,
        budgets: Mapping[str, int],
    ) -> tuple[Turn, TurnInput]:
        """The open turn, whose events have the `sequences`, and its input.

        `cached` is the window that the runner has cached; `budgets` are prompt tokens by model.
        """
        session, key, model = loaded.session, loaded.key, open_turn.model
        assistant = await self._assistants.version(
            session.tenant, session.assistant_id, open_turn.assistant_version
        )
        instructions = assistant.instructions
        instruction_tokens = count_instruction_tokens(model, instructions)
        budget = max(0, budgets.get(model, self._default_context_tokens) - instruction_tokens)
        window = context_window(session, open_turn.message_id, budget=budget, cached=cached)
        # One read for both: the turn's own message is the last of the window.
        events = await self._store.events_at(session.id, [*{*_sequences(window), *sequences}])
        by_sequence = {event.sequence: event for event in events}

        def built() -> tuple[Turn, TurnInput]:
            compaction = window.compaction
            turn_input = TurnInput(
                model=model,
                instructions=instructions,
                context=PromptContext(
                    base=window.base,
                    version=session.version,
                    budget=budget,
                    tokens=window.tokens,
                    messages=_messages(window.summary, window.nodes, by_sequence, key),
                ),
                suggest_title=_needs_title(session),
                compact=CompactionTask(
                    compaction.up_to_message_id,
                    _messages(None, compaction.nodes, by_sequence, key),
                )
                if compaction
                else None,
                parameters=parameters_of(by_sequence[sequences[1]], key),
            )
            turn_events = [by_sequence[sequence] for sequence in sequences]
            return turn_of(session, turn_events, key), turn_input

        # A window has up to all messages of the session, which are decrypted one by one.
        return await run_in_thread_if_large(len(events), built)


def _needs_title(session: Session) -> bool:
    return (
        session.title_sequence is None
        and session.expires_at is None
        and len(session.ended_turns) < _MAX_TURNS_WITHOUT_TITLE
    )


def _sequences(window: ContextWindow) -> list[int]:
    nodes = [node for _, node in window.nodes]
    nodes += [window.summary] if window.summary else []
    nodes += [node for _, node in window.compaction.nodes] if window.compaction else []
    return [node.sequence for node in nodes]


def _messages(
    summary: MessageNode | None,
    nodes: Sequence[tuple[UUID, MessageNode]],
    events: Mapping[int, Event],
    key: DataKey,
) -> list[PromptMessage]:
    messages = [
        PromptMessage(message_id, node.role, content_of(events[node.sequence], key))
        for message_id, node in nodes
    ]
    if summary is not None:
        messages.insert(0, PromptMessage(None, "system", summary_of(events[summary.sequence], key)))
    return messages
