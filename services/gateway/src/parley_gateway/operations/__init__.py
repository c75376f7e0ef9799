"""What the public routes take and answer, as the OpenAPI document tells it."""

from parley_gateway.operations.assistants import ASSISTANTS
from parley_gateway.operations.completions import COMPLETIONS
from parley_gateway.operations.health import HEALTH
from parley_gateway.operations.history import HISTORY
from parley_gateway.operations.sessions import SESSIONS
from parley_gateway.operations.turns import TURNS

OPERATIONS = (*SESSIONS, *TURNS, *HISTORY, *ASSISTANTS, *COMPLETIONS, *HEALTH)
