"""The public API as the chat uses it; what fails for the moment is tried again, same key."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx2

from parley_cli.chat.sse_events import Delta, Ended, Shown, events

TIMEOUT = httpx2.Timeout(10, connect=5, read=45)  # Seconds; a stream has a heartbeat every 15.
ATTEMPTS = 3
REPLY_ATTEMPTS = 6  # In a row without a new part: enough for a gateway that is started again.
FIRST_PAUSE = 0.25  # Seconds; each further one is twice as long.
FOR_THE_MOMENT = (429, 502, 503, 504)
IDEMPOTENCY_KEY = "idempotency-key"


class ChatError(Exception):
    """Something could not be done; the message is a sentence for whoever chats."""


class ChatApi:
    def __init__(self, client: httpx2.Client, first_pause: float = FIRST_PAUSE) -> None:
        self._client, self._first_pause = client, first_pause
        self._url = str(client.base_url).rstrip("/")

    def assistants(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/v1/assistants")["data"])

    def session(self, session_id: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/v1/sessions/{session_id}"))

    def start_session(self, assistant_id: str) -> dict[str, Any]:
        return dict(self._call("POST", "/v1/sessions", {"assistant_id": assistant_id}))

    def switch(self, assistant_id: str) -> dict[str, Any]:
        """`session`, whether it was `created`, and its last `messages`, oldest first."""
        return dict(self._call("POST", "/v1/switch-assistant", {"assistant_id": assistant_id}))

    def history(self, session_id: str, limit: int, version: int) -> list[dict[str, Any]]:
        """The last messages, oldest first; those up to `version` are among them, if it is not 0."""
        query = f"limit={limit}&order=desc" + (f"&min_version={version}" if version else "")
        page = self._call("GET", f"/v1/history/{session_id}?{query}")
        return list(reversed(page["data"]))

    def reply(self, session_id: str, content: str) -> Iterator[Delta | Ended]:
        """Submit a message; the reply as it comes, each part once, then how it ended."""
        headers, shown, failures = {IDEMPOTENCY_KEY: str(uuid4())}, Shown(), 0
        while failures < REPLY_ATTEMPTS:
            before = shown.place
            try:
                for event in self._events(session_id, content, headers):
                    for part in shown.unseen(event):
                        yield part
                        if isinstance(part, Ended):
                            return
                trouble = ChatError("The reply broke off; /history shows it when it is done.")
            except (httpx2.TransportError, _TransientError) as error:
                trouble = self._trouble(error)
            failures = 1 if shown.place > before else failures + 1
            if failures < REPLY_ATTEMPTS:
                self._pause(failures)
        raise trouble

    def _events(
        self, session_id: str, content: str, headers: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        path, body = f"/v1/sessions/{session_id}/messages", {"content": content, "stream": True}
        with self._client.stream("POST", path, json=body, headers=headers) as answer:
            if answer.status_code >= 300:
                answer.read()
                _refuse(answer)
            yield from events(answer.iter_bytes())

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {IDEMPOTENCY_KEY: str(uuid4())} if method == "POST" else {}
        for failures in range(1, ATTEMPTS + 1):
            try:
                answer = self._client.request(method, path, json=body, headers=headers)
                if answer.status_code >= 300:
                    _refuse(answer)
                return answer.json()
            except (httpx2.TransportError, _TransientError) as error:
                trouble = self._trouble(error)
            except ValueError:
                raise ChatError(f"What answers at {self._url} is not Parley.") from None
            if failures < ATTEMPTS:
                self._pause(failures)
        raise trouble

    def _pause(self, failures: int) -> None:
        time.sleep(self._first_pause * 2 ** (failures - 1))

    def _trouble(self, error: Exception) -> ChatError:
        if isinstance(error, _TransientError):
            return ChatError(str(error))
        if isinstance(error, httpx2.ConnectError):
            return ChatError(
                f"Nothing answers at {self._url}: `parley up` starts it, --url names another."
            )
        return ChatError(f"The connection to {self._url} broke off.")


class _TransientError(Exception):
    """A refusal that may pass."""


def _refuse(answer: httpx2.Response) -> None:
    try:
        sentence = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The answer was {answer.status_code} {answer.reason_phrase}."
    if answer.status_code in FOR_THE_MOMENT:
        raise _TransientError(sentence)
    if answer.status_code == 401:
        sentence += " Is the token, or PARLEY_JWT_SECRET, that of this gateway?"
    raise ChatError(sentence)
