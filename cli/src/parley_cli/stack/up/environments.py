"""Environments of the processes of a stack: each gets only the secrets and addresses it needs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parley_cli.engines.process.child_process import inherited_environment
from parley_cli.engines.process.proxy_environment import proxy_environment
from parley_cli.settings import variables
from parley_cli.stack.certificates import StackCertificates
from parley_cli.stack.secret_store import SERVICE_KEYS, signing_key_name
from parley_cli.stack.stack_settings import UpSettings
from parley_cli.stack.up.addresses import (
    CALLED_SERVICES,
    DEMO_MODEL,
    LOOPBACK,
    Addresses,
    replica_name,
    split_host_port,
)

# Those set for `parley up` are passed to each of its processes.
SHARED_VARIABLES = (
    "PARLEY_LOG_FORMAT",
    "PARLEY_LAME_DUCK_SECONDS",
    "PARLEY_KEEP_ALIVE_SECONDS",
    "PARLEY_CONNECTION_MAX_SECONDS",
)
DEMO_MODEL_NAME = "parley-demo"
SESSION_ROLE = "parley_session_runtime"
HISTORY_PROJECT_ROLE, HISTORY_SERVE_ROLE = "parley_history_runtime", "parley_history_reader"
# The whole stack stops within 10 s, of which running replies may take these.
DRAIN = {"PARLEY_INFERENCE_DRAIN_SECONDS": "2", "PARLEY_INFERENCE_DRAIN_COMMIT_SECONDS": "1"}
GATEWAY_DRAIN = {"PARLEY_GATEWAY_DRAIN_SECONDS": "1", "PARLEY_GATEWAY_HANDOVER_SECONDS": "0"}

_KEY_VARIABLE = re.compile(r"\bkey_variable[\"']?\s*:\s*[\"']?(\w+)")


@dataclass(frozen=True)
class StackConnections:
    """The locations and secrets of a stack, of which each process gets what it needs.

    The owner of a database migrates it; the services have other roles.
    """

    session_owner_database: str = field(repr=False)
    session_database: str = field(repr=False)
    history_owner_database: str = field(repr=False)
    history_project_database: str = field(repr=False)
    history_serve_database: str = field(repr=False)
    kafka: Mapping[str, str] = field(repr=False)
    """The variables with which a service finds the log."""
    redis: str = field(repr=False)
    signing_keys: Path
    """The folder with the signing keys, and the set of their public keys."""
    master_key: Mapping[str, str] = field(repr=False)
    """The variable that contains the master keys, or names their file."""
    jwt_secret: str | None = field(repr=False)


class Environments:
    """A variable set for one service (`PARLEY_INFERENCE_MAX_TURNS`) is passed to that one only."""

    def __init__(
        self,
        settings: UpSettings,
        addresses: Addresses,
        stack: StackConnections,
        page: Path | None = None,
        certificates: StackCertificates | None = None,
    ) -> None:
        """`page` is the folder of the chat page, which may be built later."""
        self._certificates = certificates
        self._settings, self._addresses, self._stack = settings, addresses, stack
        self._page = page

    def of_migration(self, service: str) -> Mapping[str, str]:
        """The environment of `migrate` of session or history."""
        if service == "session":
            return {
                **self._session_settings(),
                "PARLEY_SESSION_DATABASE_URL": self._stack.session_owner_database,
                "PARLEY_SESSION_DATABASE_RUNTIME_ROLE": SESSION_ROLE,
            }
        return {
            **variables("PARLEY_HISTORY_"),
            "PARLEY_HISTORY_DATABASE_URL": self._stack.history_owner_database,
            "PARLEY_HISTORY_DATABASE_RUNTIME_ROLE": HISTORY_PROJECT_ROLE,
            "PARLEY_HISTORY_DATABASE_READER_ROLE": HISTORY_SERVE_ROLE,
        }

    def of(self, service: str, index: int) -> Mapping[str, str]:
        match service:
            case "session":
                own = self._session()
            case "inference":
                own = self._inference()
            case "gateway":
                own = self._gateway()
            case "history-serve":
                own = self._history(self._stack.history_serve_database)
                own |= self._signing_key("history")
            case _:
                database = self._stack.history_project_database
                own = {**self._history(database), **self._stack.kafka}
        return {
            **own,
            **self._listen_address(service, index),
            **self._tls(service),
            **inherited_environment(SHARED_VARIABLES),
            # Where to send traces; see TracingSettings.
            **variables("OTEL_"),
            "PYTHONUNBUFFERED": "1",
        }

    def _session_settings(self) -> dict[str, str]:
        return {
            **variables("PARLEY_SESSION_"),
            **_file("PARLEY_SESSION_ASSISTANTS_PATH", self._settings.assistants),
        }

    def _session(self) -> dict[str, str]:
        return {
            **self._session_settings(),
            "PARLEY_SESSION_DATABASE_URL": self._stack.session_database,
            **self._stack.kafka,
            "PARLEY_SESSION_DEFAULT_MODEL": self._model_name(),
            **_file("PARLEY_SESSION_RETENTION_POLICY_PATH", self._settings.policies),
            **_file("PARLEY_SESSION_MODELS_PATH", self._settings.models),
            **_file("PARLEY_LIMITS_FILE", self._settings.limits_file),
            "PARLEY_REDIS_URL": self._stack.redis,
            **self._service_keys(),
            **self._stack.master_key,
        }

    def _inference(self) -> dict[str, str]:
        return {
            **DRAIN,
            **variables("PARLEY_INFERENCE_"),
            "PARLEY_MODEL": self._model_name(),
            **self._model_server(),
            **self._signing_key("inference"),
            "PARLEY_REDIS_URL": self._stack.redis,
            "PARLEY_SESSION_URL": self._addresses.url("session"),
        }

    def _history(self, database: str) -> dict[str, str]:
        return {
            **variables("PARLEY_HISTORY_"),
            "PARLEY_HISTORY_DATABASE_URL": database,
            "PARLEY_SESSION_URL": self._addresses.url("session"),
        }

    def _gateway(self) -> dict[str, str]:
        jwt_secret = self._stack.jwt_secret
        return {
            **GATEWAY_DRAIN,
            **_file("PARLEY_GATEWAY_PAGE_PATH", self._page),
            **variables("PARLEY_GATEWAY_", "PARLEY_JWT_", "PARLEY_CORS_", "PARLEY_PUBLIC_"),
            **_file("PARLEY_OIDC_ISSUERS", self._settings.oidc_issuers),
            **_file("PARLEY_LIMITS_FILE", self._settings.limits_file),
            **({"PARLEY_JWT_SECRET": jwt_secret} if jwt_secret else {}),
            **self._signing_key("gateway"),
            "PARLEY_REDIS_URL": self._stack.redis,
            "PARLEY_SESSION_URL": self._addresses.url("session"),
            "PARLEY_INFERENCE_URL": self._addresses.url("inference"),
            "PARLEY_HISTORY_URL": self._addresses.url("history-serve"),
        }

    def _listen_address(self, service: str, index: int) -> dict[str, str]:
        name = replica_name(service, index)
        host, port = split_host_port(self._addresses.of(name))
        prefix = LISTEN_PREFIXES[service]
        shared = self._addresses.shared_port(service)
        return {
            f"{prefix}_HOST": host,
            **({f"{prefix}_PORT": port} if service in CALLED_SERVICES else {}),
            f"{prefix}_MANAGEMENT_PORT": split_host_port(self._addresses.management(name))[1],
            "PARLEY_MANAGEMENT_HOST": LOOPBACK,
            **({"PARLEY_SHARED_PORT": shared} if shared else {}),
        }

    def _tls(self, service: str) -> dict[str, str]:
        if self._certificates is None or service not in CALLED_SERVICES:
            return {}
        # People call the gateway, who have no certificates.
        is_called_by_services = service != "gateway"
        return self._certificates.of_service(service, requires_certificates=is_called_by_services)

    def _signing_key(self, service: str) -> dict[str, str]:
        path = self._stack.signing_keys / signing_key_name(service)
        return {**_file("PARLEY_SIGNING_KEY_FILE", path), **self._service_keys()}

    def _service_keys(self) -> dict[str, str]:
        return _file("PARLEY_SERVICE_KEYS_FILE", self._stack.signing_keys / SERVICE_KEYS)

    def _model_name(self) -> str:
        return DEMO_MODEL_NAME if self._settings.runs_demo_model else self._settings.model or ""

    def _model_server(self) -> dict[str, str]:
        settings = self._settings
        if settings.runs_demo_model:
            return {"OPENAI_BASE_URL": f"http://{self._addresses.of(DEMO_MODEL)}/v1"}
        return {
            **proxy_environment(),
            **inherited_environment(("OPENAI_BASE_URL", "OPENAI_API_KEY")),
            **_file("PARLEY_INFERENCE_MODELS_PATH", settings.models),
            **_api_keys_named_in(settings.models),
        }


def kafka_environment(bootstrap_servers: str) -> dict[str, str]:
    """The variables with which a child finds an external Kafka, with absolute file paths."""
    given = variables("PARLEY_KAFKA_")
    # Absolute, because the process has another working directory.
    files = {n: str(Path(v).resolve()) for n, v in given.items() if n.endswith("_PATH") and v}
    return {**given, **files, "PARLEY_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers}


def _file(variable: str, path: Path | None) -> dict[str, str]:
    # Absolute, because the process has another working directory.
    return {variable: str(path.resolve())} if path else {}


def _api_keys_named_in(models: Path | None) -> dict[str, str]:
    """The variables with the API keys of the model servers; inference reports an invalid file."""
    if models is None or not models.is_file():
        return {}
    return inherited_environment(_KEY_VARIABLE.findall(models.read_text(errors="replace")))


LISTEN_PREFIXES = {
    "session": "PARLEY_SESSION",
    "inference": "PARLEY_INFERENCE",
    "history-serve": "PARLEY_HISTORY",
    "history-project": "PARLEY_HISTORY_PROJECTOR",
    "gateway": "PARLEY_GATEWAY",
}
