"""Fake gateway over HTTP whose streams can be cut and whose requests can be rejected."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

ASSISTANTS = [
    {"id": "helper", "name": "Helper", "description": "Helps.", "default": True},
    {"id": "coder", "name": "Coder", "description": "Codes.", "default": False},
]


@dataclass
class FakeGateway:
    """`cuts` are the numbers of events after which the next streams are cut."""

    reply: str = "Grüße 🎈 from the **gateway**."
    outcome: str = "completed"
    cuts: list[int] = field(default_factory=list)
    rejections: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    messages: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""
    # Streams wait for `resumed` after so many events.
    pause_after: int | None = None
    resumed: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def serving(self) -> Iterator["FakeGateway"]:
        handler = type("Handler", (_Handler,), {"gateway": self})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield self
            finally:
                self.resumed.set()
                server.shutdown()
                thread.join()

    def session_with(self, assistant_id: str) -> dict[str, Any]:
        session_id = str(uuid4())
        self.messages[session_id] = []
        session = {"id": session_id, "assistant_id": assistant_id, "version": 1, "title": None}
        session["updated_at"] = f"2026-11-24T08:{len(self.sessions):02}:00.000000Z"
        return self.sessions.setdefault(session_id, session)

    def events(self) -> list[bytes]:
        """The reply in deltas of three code points."""
        ends = [*range(3, len(self.reply), 3), len(self.reply)]
        deltas = [
            {"type": "reply.delta", "sequence_number": end, "delta": self.reply[start:end]}
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        last: dict[str, Any] = {"type": f"reply.{self.outcome}", "version": 4}
        last |= {"sequence_number": len(self.reply), "message": {"content": self.reply}}
        if self.outcome == "failed":
            last["error"] = {"message": "The model server failed.", "code": "upstream_error"}
        events = [{"type": "turn.started", "sequence_number": 0}, *deltas, last]
        return [b": heartbeat\n\n", *(_event(each) for each in events)]


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\nid: {data['sequence_number']}\n\n".encode()


class _Handler(BaseHTTPRequestHandler):
    gateway: FakeGateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.gateway.tokens.add(self.headers["authorization"])
        path, _, _ = self.path.partition("?")
        match path.split("/")[2:]:
            case ["assistants"]:
                self._respond({"data": ASSISTANTS})
            case ["sessions"]:
                # The most recent first, the default order of the API.
                self._respond({"data": [*self.gateway.sessions.values()][::-1]})
            case ["sessions", session_id]:
                self._respond(self.gateway.sessions[session_id])
            case ["export"]:
                self._export(self.path.partition("?")[2])
            case ["history", session_id]:
                # Newest first, the default order of the API.
                self._respond({"data": self.gateway.messages[session_id][::-1]})
            case _:
                self._reject(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        gateway = self.gateway
        gateway.keys.append(self.headers["idempotency-key"])
        match self.path.split("/")[2:]:
            case ["sessions"]:
                self._respond(gateway.session_with(body["assistant_id"]), 201)
            case ["switch-assistant"]:
                self._switch(body["assistant_id"])
            case ["sessions", session_id, "messages"]:
                if gateway.rejections:
                    self._reject(gateway.rejections.pop(0))
                else:
                    self._stream(session_id, body["content"])

    def _switch(self, assistant_id: str) -> None:
        gateway = self.gateway
        existing = [s for s in gateway.sessions.values() if s["assistant_id"] == assistant_id]
        session = existing[-1] if existing else gateway.session_with(assistant_id)
        self._respond({"session": session, "messages": gateway.messages[session["id"]]})

    def _stream(self, session_id: str, content: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        # A client may have stopped reading.
        with suppress(ConnectionError):
            self._write_events(session_id, content)

    def _write_events(self, session_id: str, content: str) -> None:
        events = self.gateway.events()
        cut = self.gateway.cuts.pop(0) if self.gateway.cuts else None
        for number, event in enumerate(events[:cut]):
            if number == self.gateway.pause_after:
                self.gateway.resumed.wait()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        if cut is None:
            messages = self.gateway.messages.setdefault(session_id, [])
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": self.gateway.reply})
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _export(self, query: str) -> None:
        if self.gateway.rejections:
            return self._reject(self.gateway.rejections.pop(0))
        parts = [query.encode(), "Grüße 🎈".encode(), b"}"]
        cut = self.gateway.cuts.pop(0) if self.gateway.cuts else None
        self._chunked(parts[:cut], whole=cut is None)

    def _chunked(self, parts: list[bytes], *, whole: bool) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        if whole:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _respond(self, body: Any, status: int = 200) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _reject(self, status: int) -> None:
        self._respond({"error": {"message": f"Rejected with {status}."}}, status)

    def log_message(self, *_: object) -> None:
        pass
