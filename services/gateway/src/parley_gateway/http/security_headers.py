"""Security headers of every response, for routes that set none of their own.

Sources: OWASP REST Security Cheat Sheet; https://www.w3.org/TR/CSP3/
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The API returns no document that a browser should render; a page has a policy of its own.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # The URL of a stream contains a ticket.
    (b"referrer-policy", b"no-referrer"),
)
_DEFAULTS = (*SECURITY_HEADERS, (b"cache-control", b"no-store"))


class SecurityHeaders:
    """ASGI middleware: adds the headers that a response does not have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                present = {name for name, _ in headers}
                missing = (header for header in _DEFAULTS if header[0] not in present)
                message["headers"] = [*headers, *missing]
            await send(message)

        await self._app(scope, receive, send_with_headers)
