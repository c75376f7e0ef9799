"""The calls between services, and who may make each: the table of docs/internal-api.md."""

from collections.abc import Mapping, Set

_GATEWAY = frozenset(("gateway",))
_INFERENCE = frozenset(("inference",))
_HISTORY = frozenset(("history",))

# By method and path, as the routes of the callee define them.
SESSION_CALLS: Mapping[str, Set[str]] = {
    "GET /assistants": _GATEWAY,
    "POST /assistants": _GATEWAY,
    "GET /assistants/{assistant_id}": _GATEWAY,
    "PATCH /assistants/{assistant_id}": _GATEWAY,
    "DELETE /assistants/{assistant_id}": _GATEWAY,
    "POST /sessions": _GATEWAY,
    "DELETE /sessions": _GATEWAY,
    "GET /sessions/{session_id:uuid}": _GATEWAY | _HISTORY,
    "PATCH /sessions/{session_id:uuid}": _GATEWAY,
    "DELETE /sessions/{session_id:uuid}": _GATEWAY,
    "POST /sessions/{session_id:uuid}/restore": _GATEWAY,
    "POST /sessions/{session_id:uuid}/fork": _GATEWAY,
    "POST /sessions/{session_id:uuid}/import": _GATEWAY,
    "POST /switch-assistant": _GATEWAY,
    "POST /sessions/{session_id:uuid}/messages": _GATEWAY,
    "POST /sessions/{session_id:uuid}/regenerate": _GATEWAY,
    "POST /sessions/{session_id:uuid}/title": _INFERENCE,
    "POST /sessions/{session_id:uuid}/compaction": _INFERENCE,
    "POST /completions": _INFERENCE,
    "GET /turns/{turn_id:uuid}": _GATEWAY | _INFERENCE,
    "POST /turns/{turn_id:uuid}/cancel": _GATEWAY,
    "POST /turns/{turn_id:uuid}/claim": _INFERENCE,
    "POST /turns/{turn_id:uuid}/complete": _INFERENCE,
    "POST /turns/{turn_id:uuid}/fail": _INFERENCE,
    "POST /runners/{runner_id:uuid}/heartbeat": _INFERENCE,
    "GET /runners/{runner_id:uuid}/cancelled-turns": _INFERENCE,
    "POST /keys": _HISTORY | {"cli"},
    "POST /search-keys": _HISTORY,
    "POST /versions": _GATEWAY,
    "GET /latest-versions": _HISTORY,
    "GET /limits": _GATEWAY,
    "POST /completions/admission": _GATEWAY,
    "DELETE /completions/admission/{id:uuid}": _GATEWAY | _INFERENCE,
    "GET /api-keys": _GATEWAY,
    "POST /api-keys": _GATEWAY,
    "DELETE /api-keys/{key_id:uuid}": _GATEWAY,
    "POST /api-keys/authenticate": _GATEWAY,
    "GET /token-revocations": _GATEWAY,
    "POST /token-revocations": _GATEWAY,
    "GET /revocations": _GATEWAY,
    "GET /all-revocations": _GATEWAY,
    "GET /audit": _GATEWAY,
    "POST /audit/reads": _GATEWAY,
    "POST /audit/refusals": _GATEWAY,
}
INFERENCE_CALLS: Mapping[str, Set[str]] = {
    "POST /turns/{turn_id:uuid}/stream": _GATEWAY,
    "POST /completions": _GATEWAY,
    "GET /models": _GATEWAY,
}
HISTORY_CALLS: Mapping[str, Set[str]] = {
    "GET /history/{session_id:uuid}": _GATEWAY,
    "GET /sessions": _GATEWAY,
    "POST /search": _GATEWAY,
    "GET /usage": _GATEWAY,
    "GET /sessions/{session_id:uuid}/export": _GATEWAY,
    "GET /export": _GATEWAY,
}
