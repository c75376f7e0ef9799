"""FastAPI dependencies of the routes: the caller, and components of the gateway that serves them.

FastAPI analyses a route in milliseconds, so routes are declared once, at import. Each gateway has
components of its own, which it sets when it starts.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import APIKeyQuery, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from parley_core.auth.caller import Caller
from parley_core.process.process_state import ProcessState
from parley_gateway.audit.recorded_reads import RecordedReads
from parley_gateway.auth.authenticator import Authenticator
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.auth.token_verification import TokenVerification
from parley_gateway.chat_completions.endpoint import ChatCompletions
from parley_gateway.chat_completions.model_directory import ModelDirectory
from parley_gateway.history.export import Exporter
from parley_gateway.history.get_history import HistoryReader
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.http.request_parsing import TurnId
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.limits.request_limits import RequestLimits
from parley_gateway.page.page_files import PageFiles
from parley_gateway.turns.resume_stream import StreamResumer, TicketAuthenticator
from parley_gateway.turns.submit_message import MessageSubmitter

_BEARER = HTTPBearer(scheme_name="bearer", bearerFormat="JWT", auto_error=False)
_TICKET = APIKeyQuery(name="ticket", scheme_name="ticket", auto_error=False)


@dataclass(frozen=True, slots=True)
class Components:
    authenticator: Authenticator
    ticket_authenticator: TicketAuthenticator
    forwarder: Forwarder
    upstreams: Upstreams
    history_reader: HistoryReader
    exporter: Exporter
    recorded_reads: RecordedReads
    submitter: MessageSubmitter
    resumer: StreamResumer
    tickets: StreamTickets
    chat_completions: ChatCompletions
    models: ModelDirectory
    request_limits: RequestLimits
    page_files: PageFiles
    verification: TokenVerification
    process_state: ProcessState


def components_of(request: Request) -> Components:
    components: Components = request.app.state.components
    return components


class _BearerToken(SecurityBase):
    """The caller that the gateway's Authenticator resolves the bearer token, or API key, to."""

    def __init__(self) -> None:
        self.model, self.scheme_name = HTTPBearerModel(bearerFormat="JWT"), "bearer"

    async def __call__(self, request: Request) -> Caller:
        return await components_of(request).authenticator.authenticate(request)


async def _ticket_caller(
    request: Request,
    turn_id: TurnId,
    _bearer: Annotated[object, Security(_BEARER)],
    _ticket: Annotated[object, Security(_TICKET)],
) -> Caller:
    return await components_of(request).ticket_authenticator.authenticate(request, turn_id)


def _component(name: str) -> Any:
    async def component(request: Request) -> object:
        return getattr(components_of(request), name)

    return Depends(component)


CurrentCaller = Annotated[Caller, Depends(_BearerToken())]
TicketCaller = Annotated[Caller, Depends(_ticket_caller)]
ForwarderDependency = Annotated[Forwarder, _component("forwarder")]
UpstreamsDependency = Annotated[Upstreams, _component("upstreams")]
HistoryReaderDependency = Annotated[HistoryReader, _component("history_reader")]
ExporterDependency = Annotated[Exporter, _component("exporter")]
RecordedReadsDependency = Annotated[RecordedReads, _component("recorded_reads")]
SubmitterDependency = Annotated[MessageSubmitter, _component("submitter")]
ResumerDependency = Annotated[StreamResumer, _component("resumer")]
TicketsDependency = Annotated[StreamTickets, _component("tickets")]
ChatCompletionsDependency = Annotated[ChatCompletions, _component("chat_completions")]
ModelsDependency = Annotated[ModelDirectory, _component("models")]
RequestLimitsDependency = Annotated[RequestLimits, _component("request_limits")]
PageFilesDependency = Annotated[PageFiles, _component("page_files")]
VerificationDependency = Annotated[TokenVerification, _component("verification")]
ProcessStateDependency = Annotated[ProcessState, _component("process_state")]
