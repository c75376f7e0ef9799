"""Environments of the processes: each gets what it needs and no secret of another."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from parley_cli.parser import build_parser, replica_counts
from parley_cli.settings import InvalidSettings, load
from parley_cli.stack.stack_settings import UpSettings
from parley_cli.stack.up.addresses import Addresses
from parley_cli.stack.up.environments import Environments, StackConnections
from parley_cli.stack.up.process_table import services
from parley_core.auth.service_keys import CALLING_SERVICES

STACK = StackConnections(
    session_owner_database="postgresql://owner:pw@127.0.0.1/parley_session",
    session_database="postgresql://runtime:pw@127.0.0.1/parley_session",
    history_owner_database="postgresql://owner:pw@127.0.0.1/parley_history",
    history_project_database="postgresql://runtime:pw@127.0.0.1/parley_history",
    history_serve_database="postgresql://reader:pw@127.0.0.1/parley_history",
    kafka={
        "PARLEY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "PARLEY_KAFKA_SASL_PASSWORD": "kafka",
    },
    redis="redis://:pw@127.0.0.1:6379/0",
    signing_keys=Path("/secrets"),
    master_key={"PARLEY_MASTER_KEY": "master"},
    jwt_secret="jwt",
)
SIGNING_KEYS = [f"/secrets/{name}-signing-key" for name in CALLING_SERVICES]
Describe = Callable[..., Mapping[str, Mapping[str, str]]]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PARLEY_MODEL", "PARLEY_MODELS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Returns the environment of each process by name, with the given variables set."""

    def environments_by_name(
        counts: Mapping[str, int] | None = None, **variables: str
    ) -> Mapping[str, Mapping[str, str]]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        addresses = Addresses("127.0.0.1:8080", counts or {}, iter(range(20_000, 21_000)))
        environments = Environments(load(UpSettings), addresses, STACK)
        return {spec.name: spec.environment for _, spec in services(addresses, environments)}

    return environments_by_name


def test_each_secret_goes_only_to_the_services_that_need_it(describe: Describe) -> None:
    processes = describe()
    holders = {
        secret: {name for name, environment in processes.items() if secret in environment.values()}
        for secret in (
            *("master", "jwt", "kafka", "/secrets/service-keys"),
            *SIGNING_KEYS,
            *(STACK.session_owner_database, STACK.history_owner_database),
            *(STACK.session_database, STACK.history_project_database),
            *(STACK.history_serve_database, STACK.redis),
        )
    }
    assert holders == {
        "/secrets/service-keys": {"gateway", "session", "inference", "history-serve"},
        "/secrets/gateway-signing-key": {"gateway"},
        "/secrets/inference-signing-key": {"inference"},
        "/secrets/history-signing-key": {"history-serve"},
        "/secrets/cli-signing-key": set(),
        "master": {"session"},
        "jwt": {"gateway"},
        "kafka": {"session", "history-project"},
        STACK.session_database: {"session"},
        STACK.history_project_database: {"history-project"},
        STACK.history_serve_database: {"history-serve"},
        STACK.session_owner_database: set(),
        STACK.history_owner_database: set(),
        STACK.redis: {"gateway", "session", "inference"},
    }


def test_only_inference_gets_the_key_of_the_model_server(describe: Describe) -> None:
    processes = describe(OPENAI_API_KEY="key", PARLEY_MODEL="gpt")
    assert [name for name, own in processes.items() if "key" in own.values()] == ["inference"]
    assert processes["session"]["PARLEY_SESSION_DEFAULT_MODEL"] == "gpt"
    assert processes["inference"]["PARLEY_MODEL"] == "gpt"


def test_only_inference_gets_the_keys_named_in_a_models_file(
    describe: Describe, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text("models:\n- {name: gpt, key_variable: MY_KEY}\n- key_variable: 'UNSET'\n")
    processes = describe(PARLEY_MODELS=str(models), PARLEY_MODEL="gpt", MY_KEY="mine")
    assert processes["inference"]["MY_KEY"] == "mine"
    assert "UNSET" not in processes["inference"]
    assert all("MY_KEY" not in own for name, own in processes.items() if name != "inference")


def test_without_a_model_server_inference_calls_the_demo_model(describe: Describe) -> None:
    environment = describe()["inference"]
    assert environment["PARLEY_MODEL"] == "parley-demo"
    assert environment["OPENAI_BASE_URL"] == "http://127.0.0.1:20000/v1"


def test_a_model_server_without_a_model_is_rejected(describe: Describe) -> None:
    with pytest.raises(InvalidSettings, match=r"^PARLEY_MODEL is not set\. It should be"):
        describe(OPENAI_BASE_URL="http://127.0.0.1:1/v1")


def test_a_setting_of_one_service_goes_only_to_that_service(describe: Describe) -> None:
    processes = describe(PARLEY_INFERENCE_MAX_TURNS="7", PARLEY_SESSION_IDEMPOTENCY_HOURS="8")
    assert {n for n, own in processes.items() if "PARLEY_INFERENCE_MAX_TURNS" in own} == {
        "inference"
    }
    assert {n for n, own in processes.items() if "PARLEY_SESSION_IDEMPOTENCY_HOURS" in own} == {
        "session"
    }


def test_replicas_have_their_own_addresses_and_are_called_at_a_shared_one(
    describe: Describe,
) -> None:
    processes = describe({"gateway": 2, "inference": 2, "session": 2})
    assert list(processes) == [
        *("session", "session-2", "inference", "inference-2"),
        *("history-serve", "history-project", "gateway", "gateway-2"),
    ]
    for service, others, calls in (
        ("session", ("inference", "inference-2", "history-serve", "gateway-2"), "SESSION"),
        ("inference", ("gateway", "gateway-2"), "INFERENCE"),
    ):
        own = {processes[name][f"PARLEY_{calls}_PORT"] for name in (service, f"{service}-2")}
        shared = {processes[name]["PARLEY_SHARED_PORT"] for name in (service, f"{service}-2")}
        called = {processes[name][f"PARLEY_{calls}_URL"] for name in others}
        assert (len(own), own & shared) == (2, set())
        assert called == {f"http://127.0.0.1:{port}" for port in shared}


def test_gateways_share_the_configured_port(describe: Describe) -> None:
    processes = describe({"gateway": 2})
    gateways = processes["gateway"], processes["gateway-2"]
    assert {own["PARLEY_SHARED_PORT"] for own in gateways} == {"8080"}
    assert len({"8080", *(own["PARLEY_GATEWAY_PORT"] for own in gateways)}) == 3


def test_a_single_process_is_called_at_its_own_address(describe: Describe) -> None:
    processes = describe()
    assert not any("PARLEY_SHARED_PORT" in own for own in processes.values())
    assert processes["gateway"]["PARLEY_GATEWAY_PORT"] == "8080"
    port = processes["history-serve"]["PARLEY_HISTORY_PORT"]
    assert processes["gateway"]["PARLEY_HISTORY_URL"] == f"http://127.0.0.1:{port}"


def test_replica_counts_are_parsed_from_one_option() -> None:
    assert replica_counts("gateway=2, history-serve=9") == {"gateway": 2, "history-serve": 9}


@pytest.mark.parametrize(
    "text", ["gateway", "gateway=0", "gateway=10", "kafka=2", "", "gateway=2;"]
)
def test_invalid_replica_counts_are_rejected_with_the_expected_form(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["up", "--replicas", text])
    assert "expected a list such as gateway=2,inference=2" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "status", "token", "chat"])
def test_the_help_of_each_command_has_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args([command, "--help"])
    assert f"\nexamples:\n  parley {command}" in capsys.readouterr().out
