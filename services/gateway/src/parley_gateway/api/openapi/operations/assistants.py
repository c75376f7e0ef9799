"""The catalogue: assistants, which administrators change, and models."""

from parley_contracts.api_models import Assistant
from parley_gateway.api.openapi.operations.operation import EVERY, KEYED, SENT, Errors, Operation
from parley_gateway.schemas.queries import AssistantsQuery
from parley_gateway.schemas.requests import DefineAssistant, ReviseAssistant
from parley_gateway.schemas.responses import AssistantList, ModelList

_UNKNOWN: Errors = {404: ("assistant_not_found",)}
_FORBIDDEN: Errors = {403: ("missing_scope", "assistant_shared")}

ASSISTANTS = (
    Operation(
        "get",
        "/v1/assistants",
        "listAssistants",
        "List the assistants",
        {200: AssistantList},
        (EVERY,),
        query=AssistantsQuery,
        tag="catalogue",
    ),
    Operation(
        "post",
        "/v1/assistants",
        "defineAssistant",
        "Define an assistant of one's tenant",
        {201: Assistant, 200: Assistant},
        (
            EVERY,
            SENT,
            KEYED,
            {403: ("missing_scope",), 409: ("assistant_id_taken", "assistants_full")},
        ),
        body=DefineAssistant,
        description="Needs the scope `assistants:write` or `admin`.",
        tag="catalogue",
    ),
    Operation(
        "get",
        "/v1/assistants/{assistant_id}",
        "readAssistant",
        "Read an assistant",
        {200: Assistant},
        (EVERY, _UNKNOWN),
        description="Also one that takes no new session any more.",
        tag="catalogue",
    ),
    Operation(
        "patch",
        "/v1/assistants/{assistant_id}",
        "reviseAssistant",
        "Revise an assistant of one's tenant",
        {200: Assistant},
        (
            EVERY,
            SENT,
            _UNKNOWN,
            _FORBIDDEN,
            {409: ("assistant_changed", "assistant_retired")},
        ),
        body=ReviseAssistant,
        description="Needs the scope `assistants:write` or `admin`. What is told from the next "
        "message on; earlier versions are kept.",
        tag="catalogue",
    ),
    Operation(
        "delete",
        "/v1/assistants/{assistant_id}",
        "retireAssistant",
        "Retire an assistant of one's tenant",
        {200: Assistant},
        (EVERY, _UNKNOWN, _FORBIDDEN, {409: ("assistant_changed",)}),
        description="Needs the scope `assistants:write` or `admin`. It takes no new session; those "
        "that there are go on.",
        tag="catalogue",
    ),
    Operation(
        "get",
        "/v1/models",
        "listModels",
        "List the models",
        {200: ModelList},
        (EVERY, {503: ("inference_unavailable", "inference_busy", "keys_unavailable")}),
        tag="catalogue",
    ),
)
