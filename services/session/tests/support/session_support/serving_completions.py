"""Recorded usage of stateless completions."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from parley_core.limits.rules import LimitRules
from parley_core.storage.postgres_pool import Pool
from parley_events.values import Price, Usage
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.model_prices import ModelPrices
from parley_session.application.sessions.record_completion import CompletionRecorder
from parley_session.application.turns.turn_costs import TurnCosts
from parley_session.application.turns.turn_limits import TurnLimits
from parley_session.domain.decide_completion import RecordCompletion
from parley_session.storage.assistant_repository import AssistantRepository
from parley_session.storage.keys.api_key_store import ApiKeyStore
from parley_session.storage.session_index import SessionIndex
from parley_session.storage.turn_counts import TurnCounts
from session_support.appending import CALLER
from session_support.components import components_on

USAGE = Usage(prompt_tokens=7, completion_tokens=2)
PRICE = Price(currency="USD", prompt=100, completion=400)


async def serve_completion(pool: Pool, *, ago: timedelta = timedelta(0)) -> UUID:
    """The id of a completion of Ada's, recorded so long ago."""
    command = RecordCompletion(uuid4(), "demo", "completed", USAGE, PRICE)
    store, rows = components_on(pool).store, SessionIndex(pool)
    costs = TurnCosts(ModelPrices({}, ""), AssistantCatalogue(AssistantRepository(pool), "demo"))
    limits = TurnLimits(LimitRules(), TurnCounts(pool), costs, ApiKeyStore(pool).limits_of)
    completions = CompletionRecorder(store, rows, limits, clock=lambda: datetime.now(UTC) - ago)
    await completions.record(command, CALLER)
    return command.id
