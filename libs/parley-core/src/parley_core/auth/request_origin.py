"""Headers with which calls between services pass on where a request comes from.

Like the request id, they are believed because the call has a principal token.
"""

from urllib.parse import quote, unquote

from starlette.requests import Request

from parley_core.auth.principal import Principal
from parley_core.runtime.request_context import client_address

CLIENT_ADDRESS = "x-client-address"
TOKEN_ID = "x-token-id"  # noqa: S105 - the name of a header
MAX_TOKEN_ID_LENGTH = 255


def origin_headers(principal: Principal) -> dict[str, str]:
    """The client address of the current request, and the id of the principal's token."""
    headers = {}
    if (address := client_address()) is not None:
        headers[CLIENT_ADDRESS] = address
    if (token_id := recordable_token_id(principal)) is not None:
        # A `jti` may be any text, and a header may not.
        headers[TOKEN_ID] = quote(token_id, safe="")
    return headers


def origin_of(request: Request) -> tuple[str | None, str | None]:
    """The client address and the token id that the caller passed on."""
    address, token_id = request.headers.get(CLIENT_ADDRESS), request.headers.get(TOKEN_ID)
    return address, None if token_id is None else unquote(token_id)


def recordable_token_id(principal: Principal) -> str | None:
    """The beginning of the `jti`, without what no event may have."""
    token_id = principal.credential.token_id
    if token_id is None:
        return None
    text = token_id[:MAX_TOKEN_ID_LENGTH].replace("\0", "")
    return text.encode(errors="replace").decode()
