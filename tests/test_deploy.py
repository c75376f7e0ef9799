"""The manifests of every overlay agree with the settings, one another and the documents."""

import re
from pathlib import Path

import pytest
from rendered_stack import SETTINGS, Stack, allowed_calls, missing_secrets, mounted_files, variables

from parley_contracts.turn_sse import HEARTBEAT_SECONDS
from parley_core.limits.rules_file import read_limit_rules
from parley_core.runtime.safe_logging import LogSettings
from parley_core.tracing.setup import TracingSettings
from parley_gateway.auth.stream_tickets import TICKET_TTL_SECONDS
from parley_history.__main__ import PROJECTOR_DRAIN_SECONDS, SERVE_DRAIN_SECONDS
from parley_history.settings import ProjectSettings
from parley_inference.models.catalogue_file import read_catalogue
from parley_inference.models.model_catalogue import ServerLimits
from parley_session.application.retention_policy_file import read_retention_policies
from parley_session.settings import CreateTopicSettings
from tools.manifests import errors_in, overlays

ROOT = Path(__file__).parents[1]
SESSION_CONNECTIONS = 6  # Beside the pool: four relays, one that listens, the store monitor.
HISTORY_CONNECTIONS = 2  # Beside the pool: one that listens for changes, the search indexer.
PROJECTOR_CONNECTIONS = 2
# The Postgres of the trial, and what the README asks of others, without ten for people and backups.
POSTGRES_CONNECTIONS = 200 - 10
# Read by the driver of PostgreSQL, beside the URL.
DRIVER_VARIABLES = {"PGSSLMODE", "PGSSLROOTCERT"}
EXIT_SECONDS = 10


@pytest.fixture(params=overlays())
def stack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    monkeypatch.chdir(ROOT)
    return Stack(request.param, monkeypatch, tmp_path)


def test_every_resource_is_valid_for_the_newest_kubernetes(stack: Stack) -> None:
    assert [error for each in stack.resources for error in errors_in(each, ("1.37",))] == []


def test_every_environment_variable_is_a_setting_of_its_process(stack: Stack) -> None:
    of_each = {*variables(LogSettings), *variables(TracingSettings)}
    everywhere = of_each.union(*map(variables, SETTINGS.values()))
    for workload in stack.parley:
        assert workload.settings is not None
        own = {*variables(workload.settings), *of_each, *DRIVER_VARIABLES}
        assert {each["name"] for each in workload.container.get("env", [])} <= own, workload.name
    settings = next(
        each["data"]
        for each in stack.of("ConfigMap")
        if each["metadata"]["name"].startswith("parley-settings")
    )
    assert set(settings) <= everywhere


def test_every_process_has_the_settings_that_it_needs(stack: Stack) -> None:
    assert len(stack.parley) == 8 + len(stack.of("CronJob"))
    for workload in stack.parley:
        stack.settings(workload)  # Raises InvalidSettings.


def test_every_file_of_a_setting_is_mounted(stack: Stack) -> None:
    for workload in stack.parley:
        assert workload.settings is not None
        own = variables(workload.settings)
        files = mounted_files(stack, workload)
        for variable, value in stack.environment(workload).items():
            if variable in own and variable.endswith(("_FILE", "_PATH", "_ISSUERS")):
                assert value in files, (workload.name, variable)


def test_every_secret_of_a_pod_is_made_with_its_keys(stack: Stack) -> None:
    assert missing_secrets(stack) == []


def test_grace_periods_outlast_lame_duck_and_drain(stack: Stack) -> None:
    gateway, session = stack.process("gateway"), stack.process("session")
    inference = stack.process("inference")
    shutdown = stack.settings(inference).drain
    drains = [
        (gateway, stack.settings(gateway).drain_seconds),
        (session, stack.settings(session).drain_seconds),
        (inference, shutdown.seconds + shutdown.commit_seconds),
        (stack.process("history-serve"), SERVE_DRAIN_SECONDS),
        (stack.process("history-project"), PROJECTOR_DRAIN_SECONDS),
    ]
    for workload, drain in drains:
        lame_duck = stack.settings(workload).server.lame_duck_seconds
        grace = workload.pod["terminationGracePeriodSeconds"]
        assert grace >= lame_duck + drain + EXIT_SECONDS, workload.name


def test_a_rollout_interrupts_no_reply(stack: Stack) -> None:
    inference = stack.settings(stack.process("inference"))
    gateway = stack.settings(stack.process("gateway"))
    longest_reply = inference.upstream.total_seconds
    assert inference.drain.seconds >= longest_reply + inference.drain.commit_seconds
    assert gateway.drain_seconds >= longest_reply
    assert gateway.handover_seconds <= gateway.drain_seconds
    assert longest_reply <= TICKET_TTL_SECONDS


def test_connections_outlive_the_idle_timeouts_in_front_of_them(stack: Stack) -> None:
    gateway = stack.settings(stack.process("gateway"))
    assert gateway.server.keep_alive_seconds > 60 > 2 * HEARTBEAT_SECONDS
    for route in stack.of("HTTPRoute"):
        rules = {
            match["path"]["value"]: rule["timeouts"]["request"]
            for rule in route["spec"]["rules"]
            for match in rule["matches"]
        }
        assert rules["/v1"] == "0s"
    for policy in stack.of("BackendTrafficPolicy"):
        timeouts = policy["spec"]["timeout"]["http"]
        assert _seconds(timeouts["streamIdleTimeout"]) >= 4 * HEARTBEAT_SECONDS
        assert _seconds(timeouts["connectionIdleTimeout"]) < gateway.server.keep_alive_seconds
        assert "retry" not in policy["spec"]


def test_all_processes_together_fit_the_connections_of_postgres(stack: Stack) -> None:
    session, serve = stack.process("session"), stack.process("history-serve")
    project = stack.process("history-project")
    session_pool = stack.settings(session).database.max_connections
    history_pool = stack.settings(serve).database.max_connections
    of_session = stack.max_pods(session) * (session_pool + SESSION_CONNECTIONS)
    of_history = stack.max_pods(serve) * (history_pool + HISTORY_CONNECTIONS)
    of_history += stack.max_pods(project) * PROJECTOR_CONNECTIONS
    one_server = any(each.name == "parley-postgres" for each in stack.workloads)
    sums = [of_session + of_history] if one_server else [of_session, of_history]
    assert max(sums) <= POSTGRES_CONNECTIONS
    for cluster in stack.of("Cluster"):
        limit = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        assert limit - 10 >= POSTGRES_CONNECTIONS


def test_no_projector_has_less_than_one_partition(stack: Stack) -> None:
    (job,) = (each for each in stack.parley if each.settings is CreateTopicSettings)
    topic = stack.settings(job).topic
    assert stack.max_pods(stack.process("history-project")) <= topic.partitions
    assert topic == stack.settings(stack.process("session")).topic
    assert topic.replication > topic.min_isr or topic.replication == 1
    for resource in stack.of("KafkaTopic"):
        (spec,) = (each for each in topic.specs if each.name == resource["metadata"]["name"])
        assert resource["spec"] == {
            "partitions": spec.partitions,
            "replicas": spec.replication_factor,
            "config": spec.settings,
        }


def test_autoscalers_own_the_number_of_replicas_of_their_namespace(stack: Stack) -> None:
    for scaler in stack.of("HorizontalPodAutoscaler") + stack.of("ScaledObject"):
        target = stack.named("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]
        for trigger in scaler["spec"].get("triggers", []):
            query = trigger["metadata"].get("query", "")
            if "namespace=" in query:
                assert f'namespace="{target["metadata"]["namespace"]}"' in query
            if trigger["type"] == "kafka":
                topics = stack.settings(stack.process("session")).topic
                project = stack.settings(stack.process("history-project"))
                assert trigger["metadata"]["topic"] == topics.sessions
                assert trigger["metadata"]["consumerGroup"] == project.projector.consumer_group


def test_probes_ask_the_management_port(stack: Stack) -> None:
    for workload in stack.parley:
        if workload.resource["kind"] != "Deployment":
            continue
        paths = {
            "startupProbe": "/startupz",
            "readinessProbe": "/readyz",
            "livenessProbe": "/livez",
        }
        for probe, path in paths.items():
            assert workload.container[probe]["httpGet"] == {"path": path, "port": "management"}
        settings = stack.settings(workload)
        server = settings.projector if workload.settings is ProjectSettings else settings
        assert server.management_port == workload.ports["management"]
        assert server.host == "*"
        startup = workload.container["startupProbe"]
        wait = getattr(settings, "migration_wait_seconds", 0)
        assert startup["periodSeconds"] * startup["failureThreshold"] > wait
        assert workload.resource["spec"]["progressDeadlineSeconds"] > wait


def test_every_pod_is_restricted_and_has_no_token_and_no_service_links(stack: Stack) -> None:
    for workload in stack.workloads:
        pod, context = workload.pod, workload.container["securityContext"]
        assert pod["automountServiceAccountToken"] is False, workload.name
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"} <= {
            "projected",
            "configMap",
            "emptyDir",
        }
        assert workload.container["resources"]["limits"].keys() == {"memory"}
    for namespace in stack.of("Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_process_has_its_own_service_account(stack: Stack) -> None:
    accounts = {each["metadata"]["name"] for each in stack.of("ServiceAccount")}
    for workload in stack.parley:
        assert workload.pod["serviceAccountName"] in accounts
    deployments = [each for each in stack.parley if each.resource["kind"] == "Deployment"]
    assert len({each.pod["serviceAccountName"] for each in deployments}) == len(deployments)
    assert stack.of("Role") == stack.of("RoleBinding") == stack.of("ClusterRoleBinding") == []


def test_every_selector_matches_exactly_one_workload(stack: Stack) -> None:
    budgets = [each["spec"]["selector"]["matchLabels"] for each in stack.of("PodDisruptionBudget")]
    services = [each["spec"]["selector"] for each in stack.of("Service")]
    for selector in budgets + services:
        matching = [each for each in stack.workloads if selector.items() <= each.labels.items()]
        assert len(matching) == 1, selector
    assert len(budgets) == 5


def test_every_service_and_url_leads_to_a_port(stack: Stack) -> None:
    addresses = set()
    for service in stack.of("Service"):
        selector = service["spec"]["selector"]
        (workload,) = (e for e in stack.workloads if selector.items() <= e.labels.items())
        for port in service["spec"]["ports"]:
            assert port["port"] == workload.ports[port["targetPort"]]
            addresses.add(f"http://{service['metadata']['name']}:{port['port']}")
    for workload in stack.parley:
        for variable, value in stack.environment(workload).items():
            if re.fullmatch(r"PARLEY_(SESSION|INFERENCE|HISTORY)_URL", variable):
                assert value in addresses


def test_all_pods_of_parley_run_one_version_which_the_jobs_are_named_for(stack: Stack) -> None:
    (image,) = {each.container["image"] for each in stack.parley}
    version = re.search(
        r'^version = "(.+)"', (ROOT / "libs/parley-core/pyproject.toml").read_text(), re.M
    )
    assert version is not None
    assert image.endswith(f":{version[1]}")
    for job in stack.of("Job"):
        assert job["metadata"]["name"].endswith("-" + version[1].replace(".", "-"))


def test_the_network_policies_allow_exactly_the_documented_calls(stack: Stack) -> None:
    if not stack.of("NetworkPolicy"):
        pytest.skip("the overlay has no network policies")
    calls = set(
        re.findall(
            r"^\| (\w+) \| `[A-Z].*?` \| ([\w, ]+) \|",
            (ROOT / "docs/internal-api.md").read_text(),
            re.M,
        )
    )
    documented = {
        (caller, callee)
        for callee, callers in calls
        for caller in callers.split(", ")
        if callee != "all" and caller != "cli"  # People run the command line.
    }
    assert documented
    assert allowed_calls(stack, "ingress", "from") == documented
    assert allowed_calls(stack, "egress", "to") == documented
    assert stack.named("NetworkPolicy", "parley-default-deny")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_the_files_of_an_overlay_are_valid_and_name_the_default_model(stack: Stack) -> None:
    files = stack.named("ConfigMap", "parley-files")["data"]
    # The keys of the model servers are Secrets of the cluster.
    models = re.sub(r"key_file: .*", "", files["models.yaml"])
    path = stack.folder / "models.yaml"
    path.write_text(models)
    catalogue = read_catalogue(path, lambda _: None, ServerLimits())
    assert catalogue.get(stack.settings(stack.process("session")).default_model)
    path.write_text(files["policies.yaml"])
    read_retention_policies(path)  # Raises InvalidSettings.
    path.write_text(files["limits.yaml"])
    read_limit_rules(path)


def _seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])
