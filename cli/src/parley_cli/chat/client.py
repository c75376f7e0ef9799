"""Client of the public API for the chat; retries transient errors with the same idempotency key."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx2

from parley_cli.chat.sse_events import ReplyDelta, ReplyEnded, ReplyProgress, events
from parley_cli.errors import CommandError
from parley_cli.service_commands.gateway_client import error_message, no_gateway_message
from parley_core.runtime.backoff import backoff_delay

TIMEOUT = httpx2.Timeout(10, connect=5, read=45)  # Seconds; a stream has a heartbeat every 15.
MAX_ATTEMPTS = 3
# In a row without new text: long enough to wait for a gateway that restarts.
MAX_REPLY_ATTEMPTS = 6
INITIAL_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.25, 8.0
TRANSIENT_STATUSES = (429, 502, 503, 504)
IDEMPOTENCY_KEY = "idempotency-key"


class ChatError(CommandError):
    """A request of the chat failed."""


class ChatClient:
    def __init__(
        self, client: httpx2.Client, initial_delay_seconds: float = INITIAL_DELAY_SECONDS
    ) -> None:
        self._client, self._initial_delay_seconds = client, initial_delay_seconds
        self._url = str(client.base_url).rstrip("/")

    def assistants(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/v1/assistants")["data"])

    def session(self, session_id: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/v1/sessions/{session_id}"))

    def sessions(self, limit: int) -> list[dict[str, Any]]:
        """The last sessions, the most recent first."""
        return list(self._call("GET", f"/v1/sessions?limit={limit}")["data"])

    def start_session(self, assistant_id: str) -> dict[str, Any]:
        return dict(self._call("POST", "/v1/sessions", {"assistant_id": assistant_id}))

    def switch_assistant(self, assistant_id: str) -> dict[str, Any]:
        """`session`, whether it was `created`, and its last `messages`, oldest first."""
        return dict(self._call("POST", "/v1/switch-assistant", {"assistant_id": assistant_id}))

    def history(
        self, session_id: str, limit: int, min_version: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """The last messages, oldest first, and whether later ones are missing for now."""
        query = f"limit={limit}&order=desc&allow_behind=true" + (
            f"&min_version={min_version}" if min_version else ""
        )
        page = self._call("GET", f"/v1/history/{session_id}?{query}")
        return list(reversed(page["data"])), page.get("behind", False)

    def reply(self, session_id: str, content: str) -> Iterator[ReplyDelta | ReplyEnded]:
        """Submit a message; yield each part of the reply once, then how it ended."""
        headers = {IDEMPOTENCY_KEY: str(uuid4())}
        progress, failures = ReplyProgress(), 0
        while failures < MAX_REPLY_ATTEMPTS:
            position = progress.position
            try:
                for event in self._stream_events(session_id, content, headers):
                    for part in progress.new_parts(event):
                        yield part
                        if isinstance(part, ReplyEnded):
                            return
                error = ChatError(
                    "The stream was interrupted; /history shows the reply once it is complete."
                )
            except (httpx2.TransportError, _TransientError) as cause:
                error = self._chat_error(cause)
            failures = 1 if progress.position > position else failures + 1
            if failures < MAX_REPLY_ATTEMPTS:
                self._wait(failures)
        raise error

    def _stream_events(
        self, session_id: str, content: str, headers: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        path, body = f"/v1/sessions/{session_id}/messages", {"content": content, "stream": True}
        with self._client.stream("POST", path, json=body, headers=headers) as response:
            if response.status_code >= 300:
                response.read()
                _raise_error(response)
            yield from events(response.iter_bytes())

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {IDEMPOTENCY_KEY: str(uuid4())} if method == "POST" else {}
        for failures in range(1, MAX_ATTEMPTS + 1):
            try:
                response = self._client.request(method, path, json=body, headers=headers)
                if response.status_code >= 300:
                    _raise_error(response)
                return response.json()
            except (httpx2.TransportError, _TransientError) as cause:
                error = self._chat_error(cause)
            except ValueError:
                raise ChatError(f"The server at {self._url} is not a Parley gateway.") from None
            if failures < MAX_ATTEMPTS:
                self._wait(failures)
        raise error

    def _wait(self, failures: int) -> None:
        time.sleep(backoff_delay(failures, self._initial_delay_seconds, MAX_DELAY_SECONDS))

    def _chat_error(self, error: Exception) -> ChatError:
        if isinstance(error, _TransientError):
            return ChatError(str(error))
        if isinstance(error, httpx2.ConnectError):
            return ChatError(no_gateway_message(self._client, error))
        return ChatError(f"The connection to {self._url} was lost.")


class _TransientError(Exception):
    """An error response that a retry may resolve."""


def _raise_error(response: httpx2.Response) -> None:
    message = error_message(response)
    if response.status_code in TRANSIENT_STATUSES:
        raise _TransientError(message)
    raise ChatError(message)
