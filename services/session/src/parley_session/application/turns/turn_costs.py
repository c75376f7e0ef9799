"""Turn costs: what a reply may cost at most, which is reserved before it is requested."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.session_api.limit_bodies import AdmitCompletionRequest
from parley_events.session import ReplyRequested
from parley_session.application.assistants.assistant_catalogue import AssistantCatalogue
from parley_session.application.model_prices import ModelPrices
from parley_session.application.token_counter import count_instruction_tokens
from parley_session.domain.context_window import context_window
from parley_session.domain.session.state import Session


class TurnCosts:
    """Costs are in millionths of a micro-unit of the `currency`."""

    def __init__(self, prices: ModelPrices, assistants: AssistantCatalogue) -> None:
        self._prices, self._assistants = prices, assistants

    @property
    def currency(self) -> str:
        return self._prices.currency

    async def of_turn(
        self, session: Session, requested: ReplyRequested, parameters: Mapping[str, Any]
    ) -> int:
        """Of the open turn of the session: its prompt and the longest reply. Raises NotFound."""
        name = requested.model
        budget = self._prices.get(name).prompt_budget
        assistant = await self._assistants.version(
            session.tenant, session.assistant_id, requested.assistant_version
        )
        instructions = count_instruction_tokens(name, assistant.instructions)
        window = context_window(
            session,
            requested.parent_message_id,
            budget=max(0, budget - instructions),
            cached=None,
        )
        given = [parameters.get(each) for each in ("max_completion_tokens", "max_tokens")]
        # The model server may use either one. It will refuse a negative one, which must not lower
        # what is reserved.
        limits = [each for each in given if isinstance(each, int) and each > 0]
        max_reply_tokens = max(limits, default=None)
        return self._prices.highest_cost(name, instructions + window.tokens, max_reply_tokens)

    def of_completion(self, request: AdmitCompletionRequest) -> int:
        """Of a completion without a session. Raises NotFound."""
        return self._prices.highest_cost(
            request.model, request.prompt_tokens, request.max_tokens, request.choices
        )
