"""A valid request of each public route, for the table of who may send it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Braces in path and body name objects of the owner; `about` tells requests of one route apart.

    `path` replaces that of `route`, for its query.
    """

    route: str
    body: Mapping[str, Any] | None = None
    about: str = ""
    path: str = ""
    tenant: str = ""

    @property
    def title(self) -> str:
        return f"`{self.route}`" + (f" {self.about}" if self.about else "")

    @property
    def method(self) -> str:
        return self.route.split()[0]

    @property
    def path_and_query(self) -> str:
        return self.path or self.route.split()[1]


_MESSAGE = {"role": "user", "content": "Hello"}
_ASSISTANT = {"id": "{new_id}", "name": "Pirate", "instructions": "Speak as a pirate."}
_IN_BACKGROUND = {"content": "Hello", "background": True}

# Routes without a token are here too: the table shows that they ask for none.
REQUESTS: Iterable[AccessRequest] = (
    AccessRequest("GET /v1/history/{session_id}"),
    AccessRequest("POST /v1/sessions/{session_id}/messages", _IN_BACKGROUND),
    AccessRequest("POST /v1/sessions/{session_id}/regenerate", {"background": True}),
    AccessRequest("GET /v1/turns/{turn_id}"),
    AccessRequest("GET /v1/turns/{turn_id}/stream"),
    AccessRequest("POST /v1/turns/{turn_id}/cancel", {}),
    AccessRequest("POST /v1/history/{session_id}", {"messages": [_MESSAGE]}),
    AccessRequest("POST /v1/search", {"query": "hello"}),
    AccessRequest("GET /v1/sessions/{session_id}/export"),
    AccessRequest("GET /v1/export"),
    AccessRequest("GET /v1/usage", about="of oneself"),
    AccessRequest(
        "GET /v1/usage", about="of another person", path="/v1/usage?user={owner}&group_by=user"
    ),
    AccessRequest(
        "POST /v1/chat/completions",
        {"model": "scripted", "messages": [_MESSAGE]},
        "without a session",
    ),
    AccessRequest(
        "POST /v1/chat/completions",
        {
            "model": "scripted",
            "messages": [_MESSAGE],
            "metadata": {"session_id": "{session_id}"},
        },
        "in a session",
    ),
    AccessRequest("POST /v1/sessions", {"assistant_id": "helper"}),
    AccessRequest("GET /v1/sessions"),
    AccessRequest("DELETE /v1/sessions"),
    AccessRequest("GET /v1/sessions/{session_id}"),
    AccessRequest("PATCH /v1/sessions/{session_id}", {"title": "Hello"}, "with a title"),
    AccessRequest("PATCH /v1/sessions/{session_id}", {"legal_hold": True}, "with a legal hold"),
    AccessRequest("DELETE /v1/sessions/{session_id}"),
    AccessRequest(
        "POST /v1/sessions/{session_id}/restore",
        {},
        path="/v1/sessions/{deleted_session_id}/restore",
        tenant="forgiving",
    ),
    AccessRequest("POST /v1/sessions/{session_id}/fork", {}),
    AccessRequest("POST /v1/switch-assistant", {"assistant_id": "helper"}),
    AccessRequest("GET /v1/assistants"),
    AccessRequest("POST /v1/assistants", _ASSISTANT),
    AccessRequest("GET /v1/assistants/{assistant_id}"),
    AccessRequest("PATCH /v1/assistants/{assistant_id}", {"name": "Captain"}, "of the tenant"),
    AccessRequest(
        "PATCH /v1/assistants/{assistant_id}", {"name": "X"}, "shared", "/v1/assistants/helper"
    ),
    AccessRequest("DELETE /v1/assistants/{assistant_id}", None, "of the tenant"),
    AccessRequest("DELETE /v1/assistants/{assistant_id}", None, "shared", "/v1/assistants/helper"),
    AccessRequest("GET /v1/models"),
    AccessRequest("GET /v1/models/{model:path}", path="/v1/models/scripted"),
    AccessRequest("POST /v1/api-keys", {"name": "a program"}, "without scopes"),
    AccessRequest(
        "POST /v1/api-keys", {"name": "a program", "scopes": ["admin"]}, "with the scope `admin`"
    ),
    AccessRequest("GET /v1/api-keys"),
    AccessRequest("DELETE /v1/api-keys/{key_id}"),
    AccessRequest("GET /v1/limits"),
    AccessRequest("POST /v1/admin/revocations", {"kind": "token", "target": "{new_id}"}),
    AccessRequest("GET /v1/admin/revocations"),
    AccessRequest("GET /v1/audit"),
    AccessRequest("GET /livez"),
    AccessRequest("GET /readyz"),
    AccessRequest("GET /v1/client-config"),
    AccessRequest("GET /openapi.json"),
    AccessRequest("GET /docs"),
    AccessRequest("GET /docs/start.js"),
    AccessRequest("GET /docs/assets", path="/docs/assets/swagger-ui.css"),
    AccessRequest("GET /"),
    AccessRequest("GET /s/{session_id}"),
    AccessRequest("GET /search"),
    AccessRequest("GET /usage"),
    AccessRequest("GET /import"),
    AccessRequest("GET /settings"),
    AccessRequest("GET /assets/{name}", path="/assets/none.js"),
    AccessRequest("GET /boot.js"),
    AccessRequest("GET /favicon.svg"),
)
