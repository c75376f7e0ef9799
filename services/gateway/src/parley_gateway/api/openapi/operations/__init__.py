"""What the public routes take and answer, as the OpenAPI document tells it."""

from parley_gateway.api.openapi.operations.assistants import ASSISTANTS
from parley_gateway.api.openapi.operations.chat_completions import COMPLETIONS
from parley_gateway.api.openapi.operations.health import HEALTH
from parley_gateway.api.openapi.operations.history import HISTORY
from parley_gateway.api.openapi.operations.sessions import SESSIONS
from parley_gateway.api.openapi.operations.turns import TURNS

OPERATIONS = (*SESSIONS, *TURNS, *HISTORY, *ASSISTANTS, *COMPLETIONS, *HEALTH)
