"""An overlay as it is rendered, and the settings that its processes would read."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import certifi
import pytest

from parley_core.runtime.settings import Settings, load, setting_fields
from parley_gateway.settings import GatewaySettings
from parley_history.operations.rebuild.settings import RebuildCommandSettings
from parley_history.settings import ProjectSettings, ServeSettings
from parley_history.storage.database import MigrateSettings as HistoryMigrateSettings
from parley_inference.settings import InferenceSettings
from parley_session.settings import (
    BackupSettings,
    CreateTopicSettings,
    LogCommandSettings,
    MigrateSettings,
    SessionSettings,
)
from parley_testing.peers import SERVICE_KEYS, key_variables
from tools.manifests import render

Resource = dict[str, Any]

SETTINGS: dict[str, type[Settings]] = {
    "parley_gateway": GatewaySettings,
    "parley_session serve": SessionSettings,
    "parley_session migrate": MigrateSettings,
    "parley_session create-topic": CreateTopicSettings,
    "parley_session verify-log": LogCommandSettings,
    "parley_session restore-log": LogCommandSettings,
    "parley_session reconcile": LogCommandSettings,
    "parley_session backup": BackupSettings,
    "parley_inference": InferenceSettings,
    "parley_history migrate": HistoryMigrateSettings,
    "parley_history serve": ServeSettings,
    "parley_history project": ProjectSettings,
    "parley_history rebuild": RebuildCommandSettings,
    "parley_history verify": RebuildCommandSettings,
}
_COMMAND = re.compile(r"python -m (parley_\w+(?: [a-z][a-z-]*)?)")
SECRETS = {
    "PARLEY_SERVICE_KEYS": SERVICE_KEYS,
    "PARLEY_MASTER_KEY": "first:" + "A" * 43 + "=",
    "PARLEY_SESSION_DATABASE_URL": "postgresql://user:password@host/name",
    "PARLEY_HISTORY_DATABASE_URL": "postgresql://user:password@host/name",
    "PARLEY_REDIS_URL": "redis://host:6379/0",
    "PARLEY_JWT_SECRET": "j" * 32,
    "PARLEY_KAFKA_SASL_PASSWORD": "password",
}
# Nodes of the network policies are pods; the table of calls has the names of services.
SERVICE_OF_POD = {"history-serve": "history"}


class Workload(NamedTuple):
    resource: Resource
    pod: Resource
    container: Resource
    settings: type[Settings] | None

    @property
    def name(self) -> str:
        name: str = self.resource["metadata"]["name"]
        return name

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = _template(self.resource)["metadata"]["labels"]
        return labels

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.container.get("ports", [])}


class Stack:
    """The resources of one overlay, and the settings that its processes would read."""

    def __init__(self, overlay: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.resources = render(overlay)
        self._monkeypatch, self.folder = monkeypatch, folder
        kinds = ("Deployment", "StatefulSet", "Job", "CronJob")
        self.workloads = [_workload(each) for kind in kinds for each in self.of(kind)]
        self.parley = [each for each in self.workloads if each.settings]

    def of(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each["kind"] == kind]

    def named(self, kind: str, name: str) -> Resource:
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def process(self, name: str) -> Workload:
        (found,) = (each for each in self.parley if each.name == f"parley-{name}")
        return found

    def environment(self, workload: Workload) -> dict[str, str]:
        values: dict[str, str] = {}
        for source in workload.container.get("envFrom", []):
            values |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        return values | {each["name"]: each["value"] for each in workload.container.get("env", [])}

    def settings(self, workload: Workload) -> Any:
        """The settings of a process, with samples in the place of secrets."""
        assert workload.settings is not None
        with self._monkeypatch.context() as patch:
            for variable, value in self.environment(workload).items():
                if variable.endswith("_CA_PATH"):
                    value = certifi.where()
                secret = variable.removesuffix("_FILE")
                samples = SECRETS | key_variables(_service(workload.name))
                if secret != variable and secret in samples:
                    file = self.folder / variable
                    file.write_text(samples[secret])
                    value = str(file)
                patch.setenv(variable, value)
            return load(workload.settings)

    def max_pods(self, workload: Workload) -> int:
        """Replicas at their maximum, and those more that a rollout starts."""
        spec = workload.resource["spec"]
        scalers = [
            each["spec"].get("maxReplicas") or each["spec"]["maxReplicaCount"]
            for each in self.of("HorizontalPodAutoscaler") + self.of("ScaledObject")
            if each["spec"]["scaleTargetRef"]["name"] == workload.name
        ]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
        assert isinstance(surge, int)
        return int(*scalers or [spec["replicas"]]) + surge


def variables(kind: type[Settings]) -> set[str]:
    settings = setting_fields(kind)
    return {each.variable for each in settings} | {
        each.file_variable for each in settings if each.is_secret
    }


def mounted_files(stack: Stack, workload: Workload) -> set[str]:
    maps = {each["metadata"]["name"]: each["data"] for each in stack.of("ConfigMap")}
    found = set()
    for mount in workload.container.get("volumeMounts", []):
        (volume,) = (each for each in workload.pod["volumes"] if each["name"] == mount["name"])
        source = volume.get("configMap")
        if source and source.get("optional") and source["name"] not in maps:
            continue  # Of overlays that have it.
        if source:
            names = maps[source["name"]].keys()
        elif "projected" in volume:
            names = {item["path"] for secret in _secrets_of(volume) for item in secret["items"]}
        else:
            continue
        found |= {f"{mount['mountPath']}/{name}" for name in names}
    return found


def secret_names(workload: Workload) -> set[str]:
    """The Secrets of the pod, without the prefix of all and the hash of generated ones."""
    return {
        re.sub(r"-[a-z0-9]{10}$", "", secret["name"]).removeprefix("parley-")
        for volume in workload.pod.get("volumes", [])
        for secret in _secrets_of(volume)
    }


def missing_secrets(stack: Stack) -> list[tuple[str, str, set[str]]]:
    """Workload, Secret, and the keys that nothing makes; none where others make all Secrets."""
    made = _keys_of_secrets(stack)
    return [
        (workload.name, secret["name"], missing)
        for workload in stack.workloads
        for volume in workload.pod.get("volumes", [])
        for secret in _secrets_of(volume)
        if made and not secret.get("optional")
        if (missing := {item["key"] for item in secret["items"]} - made.get(secret["name"], set()))
    ]


def _secrets_of(volume: Resource) -> list[Resource]:
    return [each["secret"] for each in volume.get("projected", {}).get("sources", [])]


def allowed_calls(stack: Stack, direction: str, peers: str) -> set[tuple[str, str]]:
    """Caller and callee of each call between pods, from the policies of one of the two."""
    allowed = set()
    for policy in stack.of("NetworkPolicy"):
        own = policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        for rule in policy["spec"].get(direction, []):
            for peer in rule.get(peers, []):
                if own and "podSelector" in peer:
                    other = peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
                    pair = (other, own) if direction == "ingress" else (own, other)
                    allowed.add(pair)
    return {(_service(caller), _service(callee)) for caller, callee in allowed}


def _keys_of_secrets(stack: Stack) -> dict[str, set[str]]:
    """The keys of each Secret of the overlay, and of those that operators make for it."""
    found = {each["metadata"]["name"]: set(each.get("data", {})) for each in stack.of("Secret")}
    for each in stack.of("ExternalSecret"):
        found[each["spec"]["target"]["name"]] = {
            entry["secretKey"] for entry in each["spec"]["data"]
        }
    for each in stack.of("Cluster"):
        name = each["metadata"]["name"]
        found |= {f"{name}-app": {"uri"}, f"{name}-ca": {"ca.crt"}}
    for each in stack.of("KafkaUser"):
        found[each["metadata"]["name"]] = {"password"}
    for each in stack.of("Kafka"):
        found[f"{each['metadata']['name']}-cluster-ca-cert"] = {"ca.crt"}
    return found


def _service(pod: str) -> str:
    name = pod.removeprefix("parley-")
    return SERVICE_OF_POD.get(name, name)


def _workload(resource: Resource) -> Workload:
    pod = _template(resource)["spec"]
    (container,) = pod["containers"]
    command = _COMMAND.search(" ".join(container["command"]))
    return Workload(resource, pod, container, SETTINGS.get(command[1]) if command else None)


def _template(resource: Resource) -> Resource:
    """The template of the pods of a workload."""
    spec = resource["spec"]
    template: Resource = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]
    return template
