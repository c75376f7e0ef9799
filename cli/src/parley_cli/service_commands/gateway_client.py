"""HTTP client of the gateway for commands that use the public API."""

import ssl
from collections.abc import Sequence
from typing import Any

import httpx2

from parley_cli.errors import CommandError
from parley_cli.settings import ChatSettings, load
from parley_cli.stack.certificates import StackCertificates
from parley_cli.stack.dev_tokens import development_token
from parley_cli.stack.state_file import gateway_url
from parley_core.tls.tls_failures import reason_of

COMMAND_TIMEOUT_SECONDS = 30


def gateway_client(
    settings: ChatSettings, url: str | None, token: str, timeout: httpx2.Timeout
) -> httpx2.Client:
    """A client of the gateway at `url`, by default that of the running stack.

    Raises CommandError for an invalid URL.
    """
    base_url = url or gateway_url(settings.data, settings.port)
    verify: ssl.SSLContext | bool = True
    if url is None and base_url.startswith("https:"):
        authority_file = StackCertificates(settings.data).authority_file
        verify = ssl.create_default_context(cafile=str(authority_file))
    try:
        client = httpx2.Client(
            base_url=base_url,
            verify=verify,
            headers={"authorization": f"Bearer {token}"},
            timeout=timeout,
            # The machine's proxy is not for the gateway of a local stack.
            trust_env=url is not None,
        )
    except httpx2.InvalidURL as error:
        raise CommandError(f"--url is not a valid URL: {error}.") from None
    if client.base_url.scheme not in ("http", "https"):
        raise CommandError("--url is not a valid URL: it should begin with http:// or https://.")
    return client


def authenticated_client(
    url: str | None, *, user: str, tenant: str | None, scopes: Sequence[str]
) -> httpx2.Client:
    """A client with PARLEY_TOKEN, else with a development token of the user for an hour.

    Raises InvalidSettings, CommandError.
    """
    settings = load(ChatSettings)
    token = (settings.token and settings.token.get_secret_value()) or development_token(
        settings, user=user, tenant=tenant, scopes=scopes, hours=1
    )
    return gateway_client(settings, url, token, httpx2.Timeout(COMMAND_TIMEOUT_SECONDS))


def call_gateway(client: httpx2.Client, method: str, path: str, body: Any = None) -> Any:
    """The JSON of the response. Raises CommandError."""
    try:
        response = client.request(method, path, json=body)
    except httpx2.TransportError as error:
        raise CommandError(no_gateway_message(client, error)) from None
    if not response.is_success:
        raise CommandError(error_message(response))
    return response.json()


def no_gateway_message(client: httpx2.Client, error: Exception) -> str:
    url = str(client.base_url).rstrip("/")
    if reason := reason_of(error):
        return (
            f"The TLS connection to {url} failed: {reason}. If the certificate is of `parley up "
            "--tls`, run `parley trust`."
        )
    return f"No gateway answers at {url}: start one with `parley up`, or pass --url for another."


def error_message(response: httpx2.Response) -> str:
    """The message of an error response."""
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The gateway answered {response.status_code} {response.reason_phrase}."
    if response.status_code == 401:
        message += " Check that the token, or PARLEY_JWT_SECRET, is valid for this gateway."
    return message
