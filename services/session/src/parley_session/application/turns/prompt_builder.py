"""What a reply is made from: the window of its turn, opened, within the budget of its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_contracts.api_models import Turn
from parley_core.crypto.sealing import DataKey
from parley_events.session import Event
from parley_session.application.assistants.assistant_catalogue import Catalogue
from parley_session.application.event_mapper import message_of, summary_of, turn_of
from parley_session.application.token_counter import tokens_in_instructions
from parley_session.domain.context_window import ContextPlaces, HeldWindow, context_of
from parley_session.domain.session.state import MessageNode, OpenTurn, Session
from parley_session.storage.event_store import EventStore, LoadedSession

# A title that one turn did not bring is asked for with the next one.
_TITLED_WITHIN_TURNS = 3


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """A message as the model is shown it; a summary has no id."""

    id: UUID | None
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class PromptContext:
    """`messages` continue the window of the version `base`, if any; see `ContextPlaces`."""

    base: int | None
    version: int
    budget: int
    tokens: int
    messages: Sequence[PromptMessage]


@dataclass(frozen=True, slots=True)
class CompactionRequest:
    """A wish for a summary of all up to a message; `messages` are those before the window."""

    up_to_message_id: UUID
    messages: Sequence[PromptMessage]


@dataclass(frozen=True, slots=True)
class TurnInput:
    """What a reply is made from, and what is wanted once it is made."""

    model: str
    instructions: str
    context: PromptContext
    suggest_title: bool
    compact: CompactionRequest | None


class PromptBuilder:
    """`context_tokens` is the budget of models that the runner names none for."""

    def __init__(self, store: EventStore, assistants: Catalogue, context_tokens: int) -> None:
        self._store, self._assistants = store, assistants
        self._context_tokens = context_tokens

    async def run(
        self,
        held: LoadedSession,
        open_turn: OpenTurn,
        sequences: Sequence[int],
        since: HeldWindow | None,
        budgets: Mapping[str, int],
    ) -> tuple[Turn, TurnInput]:
        """The open turn, whose events have the `sequences`, and what its reply is made from.

        `since` is the window that the runner holds; `budgets` are tokens, by model.
        """
        session, key, model = held.session, held.key, open_turn.model
        assistant = await self._assistants.version(
            session.tenant, session.assistant_id, open_turn.assistant_version
        )
        instructions = assistant.instructions
        told = tokens_in_instructions(model, instructions)
        budget = max(0, budgets.get(model, self._context_tokens) - told)
        context = context_of(session, open_turn.message_id, budget=budget, since=since)
        # Read once: the turn's own message is the last of the context.
        events = await self._store.events_at(session.id, [*{*_shown(context), *sequences}])
        by_sequence = {event.sequence: event for event in events}
        wish = context.compact
        run = TurnInput(
            model=model,
            instructions=instructions,
            context=PromptContext(
                base=context.base,
                version=session.version,
                budget=budget,
                tokens=context.tokens,
                messages=_messages(context.summary, context.places, by_sequence, key),
            ),
            suggest_title=_wants_title(session),
            compact=CompactionRequest(
                wish.up_to_message_id, _messages(None, wish.places, by_sequence, key)
            )
            if wish
            else None,
        )
        return turn_of(session, [by_sequence[place] for place in sequences], key), run


def _wants_title(session: Session) -> bool:
    return (
        session.title_sequence is None
        and session.expires_at is None
        and len(session.ended_turns) < _TITLED_WITHIN_TURNS
    )


def _shown(context: ContextPlaces) -> list[int]:
    places = [place for _, place in context.places]
    places += [context.summary] if context.summary else []
    places += [place for _, place in context.compact.places] if context.compact else []
    return [place.sequence for place in places]


def _messages(
    summary: MessageNode | None,
    places: Sequence[tuple[UUID, MessageNode]],
    events: Mapping[int, Event],
    key: DataKey,
) -> list[PromptMessage]:
    shown = [message_of(events[place.sequence], None, key) for _, place in places]
    messages = [PromptMessage(message.id, message.role, message.content) for message in shown]
    if summary is not None:
        messages.insert(0, PromptMessage(None, "system", summary_of(events[summary.sequence], key)))
    return messages
