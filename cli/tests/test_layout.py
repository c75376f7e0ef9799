"""What each process is told: what it needs, and nothing that is another's."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from parley_cli.parser import parser, replicas
from parley_cli.settings import InvalidSettings, UpSettings, load
from parley_cli.stack.up.addresses import Addresses
from parley_cli.stack.up.environments import Environments, ProcessEnvironment
from parley_cli.stack.up.process_table import services

TOLD = ProcessEnvironment(
    session_database="postgresql://parley_session:pw@127.0.0.1/parley_session",
    history_database="postgresql://parley_history:pw@127.0.0.1/parley_history",
    kafka="127.0.0.1:9092",
    redis="redis://:pw@127.0.0.1:6379/0",
    internal_secret="internal",
    master_key="master",
    jwt_secret="jwt",
)
Described = Callable[..., Mapping[str, Mapping[str, str]]]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PARLEY_MODEL", "PARLEY_MODELS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Described:
    """The environment of each process by its name, with variables set as given."""

    def describe(
        counts: Mapping[str, int] | None = None, **variables: str
    ) -> Mapping[str, Mapping[str, str]]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        addresses = Addresses("127.0.0.1:8080", counts or {}, iter(range(20_000, 21_000)))
        environments = Environments(load(UpSettings), addresses, TOLD)
        return {spec.name: spec.environment for _, spec in services(addresses, environments)}

    return describe


def test_a_secret_goes_only_to_those_who_need_it(described: Described) -> None:
    processes = described()
    holders = {
        secret: {name for name, told in processes.items() if secret in told.values()}
        for secret in (
            *("internal", "master", "jwt"),
            *(TOLD.session_database, TOLD.history_database, TOLD.redis),
        )
    }
    assert holders == {
        "internal": set(processes),
        "master": {"session"},
        "jwt": {"gateway"},
        TOLD.session_database: {"session"},
        TOLD.history_database: {"history-serve", "history-project"},
        TOLD.redis: {"session", "inference", "history-serve"},
    }


def test_the_key_of_the_model_server_is_inferences_alone(described: Described) -> None:
    processes = described(OPENAI_API_KEY="key", PARLEY_MODEL="gpt")
    assert [name for name, told in processes.items() if "key" in told.values()] == ["inference"]
    assert processes["session"]["PARLEY_MODEL"] == processes["inference"]["PARLEY_MODEL"] == "gpt"


def test_the_keys_that_a_models_file_names_are_inferences_alone(
    described: Described, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text("models:\n- {name: gpt, key_variable: MY_KEY}\n- key_variable: 'UNSET'\n")
    processes = described(PARLEY_MODELS=str(models), PARLEY_MODEL="gpt", MY_KEY="mine")
    assert processes["inference"]["MY_KEY"] == "mine"
    assert "UNSET" not in processes["inference"]
    assert all("MY_KEY" not in told for name, told in processes.items() if name != "inference")


def test_without_a_model_server_the_demo_model_is_the_model_server(described: Described) -> None:
    told = described()["inference"]
    assert told["PARLEY_MODEL"] == "parley-demo"
    assert told["OPENAI_BASE_URL"] == "http://127.0.0.1:20000/v1"


def test_a_model_server_without_a_model_is_refused(described: Described) -> None:
    with pytest.raises(InvalidSettings, match=r"^PARLEY_MODEL is not set\. It should be"):
        described(OPENAI_BASE_URL="http://127.0.0.1:1/v1")


def test_a_bound_that_a_person_sets_goes_to_its_service(described: Described) -> None:
    processes = described(PARLEY_INFERENCE_TURNS="7", PARLEY_RELAY_RECORDS="8")
    assert {n for n, told in processes.items() if "PARLEY_INFERENCE_TURNS" in told} == {"inference"}
    assert {n for n, told in processes.items() if "PARLEY_RELAY_RECORDS" in told} == {"session"}


def test_replicas_have_an_address_each_and_are_called_at_one(described: Described) -> None:
    processes = described({"gateway": 2, "inference": 2, "session": 2})
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


def test_gateways_share_the_port_that_people_know(described: Described) -> None:
    processes = described({"gateway": 2})
    gateways = processes["gateway"], processes["gateway-2"]
    assert {told["PARLEY_SHARED_PORT"] for told in gateways} == {"8080"}
    assert len({"8080", *(told["PARLEY_GATEWAY_PORT"] for told in gateways)}) == 3


def test_a_single_process_is_called_at_its_own_address(described: Described) -> None:
    processes = described()
    assert not any("PARLEY_SHARED_PORT" in told for told in processes.values())
    assert processes["gateway"]["PARLEY_GATEWAY_PORT"] == "8080"
    port = processes["history-serve"]["PARLEY_HISTORY_PORT"]
    assert processes["gateway"]["PARLEY_HISTORY_URL"] == f"http://127.0.0.1:{port}"


def test_replicas_are_read_from_one_option() -> None:
    assert replicas("gateway=2, history-serve=9") == {"gateway": 2, "history-serve": 9}


@pytest.mark.parametrize(
    "wrong", ["gateway", "gateway=0", "gateway=10", "kafka=2", "", "gateway=2;"]
)
def test_wrong_replicas_are_refused_with_what_they_should_look_like(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["up", "--replicas", wrong])
    assert "it should look like gateway=2,inference=2" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "status", "token", "chat"])
def test_the_help_of_each_command_has_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args([command, "--help"])
    assert f"\nexamples:\n  parley {command}" in capsys.readouterr().out
