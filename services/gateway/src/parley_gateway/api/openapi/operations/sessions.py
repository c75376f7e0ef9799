"""Sessions: started, listed, read, changed, forked, erased."""

from parley_contracts.api_models import SessionShape
from parley_gateway.api.openapi.operations.operation import (
    EVERY,
    FROM_HISTORY,
    KEYED,
    OF_A_SESSION,
    SENT,
    Operation,
)
from parley_gateway.schemas.queries import SessionsQuery
from parley_gateway.schemas.requests import (
    ChangeSession,
    ForkSession,
    StartSession,
    SwitchAssistant,
)
from parley_gateway.schemas.responses import (
    AssistantSwitch,
    SessionDeleted,
    SessionList,
    SessionsDeleted,
)

SESSIONS = (
    Operation(
        "post",
        "/v1/sessions",
        "startSession",
        "Start a session",
        {201: SessionShape, 200: SessionShape},
        (
            EVERY,
            SENT,
            KEYED,
            {404: ("assistant_not_found",), 409: ("session_id_unavailable", "assistant_retired")},
        ),
        body=StartSession,
        description="200 when the same request with the same `Idempotency-Key` was done before.",
    ),
    Operation(
        "get",
        "/v1/sessions",
        "listSessions",
        "List one's sessions",
        {200: SessionList},
        (EVERY, FROM_HISTORY),
        query=SessionsQuery,
        description="Those changed last first. Temporary and deleted ones are not among them.",
    ),
    Operation(
        "delete",
        "/v1/sessions",
        "eraseSessions",
        "Erase all of one's sessions",
        {200: SessionsDeleted},
        (EVERY,),
        description="For good, also where a window for restoring is the policy. Those under a "
        "legal hold stay. While `has_more` is true, the same request goes on.",
    ),
    Operation(
        "get",
        "/v1/sessions/{session_id}",
        "readSession",
        "Read a session",
        {200: SessionShape},
        (EVERY, OF_A_SESSION),
    ),
    Operation(
        "patch",
        "/v1/sessions/{session_id}",
        "changeSession",
        "Rename a session, change its metadata, archive it",
        {200: SessionShape},
        (
            EVERY,
            SENT,
            OF_A_SESSION,
            {403: ("missing_scope",), 413: ("session_too_large", "body_too_large")},
        ),
        body=ChangeSession,
        description="`legal_hold` needs the scope `admin`, and is allowed on any session of the "
        "tenant where no other field is given.",
    ),
    Operation(
        "delete",
        "/v1/sessions/{session_id}",
        "deleteSession",
        "Erase a session",
        {200: SessionDeleted},
        (EVERY, OF_A_SESSION, {409: ("legal_hold",)}),
        description="Its key is destroyed before this is answered: nobody can read it again. Where "
        "a window for restoring is the policy, it is deleted first, and erased at `erase_at`.",
    ),
    Operation(
        "post",
        "/v1/sessions/{session_id}/restore",
        "restoreSession",
        "Take back that a session was deleted",
        {200: SessionShape},
        (EVERY, SENT, KEYED, OF_A_SESSION, {409: ("not_deleted",)}),
    ),
    Operation(
        "post",
        "/v1/sessions/{session_id}/fork",
        "forkSession",
        "Start a session with the messages of another one",
        {201: SessionShape, 200: SessionShape},
        (
            EVERY,
            SENT,
            KEYED,
            OF_A_SESSION,
            {409: ("session_id_unavailable", "fork_too_large", "assistant_retired")},
        ),
        body=ForkSession,
        description="Copies what led up to a message, and that message.",
    ),
    Operation(
        "post",
        "/v1/switch-assistant",
        "switchAssistant",
        "Go on with another assistant",
        {200: AssistantSwitch},
        (
            EVERY,
            SENT,
            KEYED,
            {404: ("assistant_not_found",), 409: ("session_id_unavailable", "assistant_retired")},
        ),
        body=SwitchAssistant,
        description="The caller's latest session with that assistant, or a new one.",
    ),
)
