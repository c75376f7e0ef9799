"""The trial overlay in a cluster: applied from nothing, observed, and deleted."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from k8s_support.cluster import Cluster, CommandFailed

NAMESPACE = "parley"
OVERLAY = Path("deploy/k8s/overlays/trial")
# The five processes of Parley, in the order of a careful rollout.
WORKLOADS = (
    "parley-session",
    "parley-inference",
    "parley-history-project",
    "parley-history-serve",
    "parley-gateway",
)
# Marks a namespace that the tests may delete.
_OURS = "parley-tests"
READY_SECONDS = 300
# A rollout of one process waits for lame ducks, drains and starts of two pods.
ROLLOUT_SECONDS = 400


class Trial:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def kubectl(self, *arguments: str, given: str | None = None, timeout: float = 120) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, given=given, timeout=timeout)

    def apply(self) -> float:
        """Apply everything at once to a cluster without it; the seconds until all is ready.

        Raises CommandFailed if the namespace exists and is not one of the tests.
        """
        if self.is_ours():
            self.delete()
        started = time.monotonic()
        self.cluster.kubectl("apply", "-k", str(OVERLAY))
        self.cluster.kubectl("label", "namespace", NAMESPACE, f"{_OURS}=true")
        self.wait_until_ready()
        return time.monotonic() - started

    def delete(self) -> None:
        # Pods first: a namespace waits for half of the longest grace period before it looks again.
        self.kubectl("delete", "deployment,statefulset,job,pod", "--all", timeout=180)
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s", timeout=180)

    def wait_until_ready(self) -> None:
        for kind in ("statefulset", "deployment"):
            for each in self.kubectl("get", kind, "-o", "name").split():
                self.wait_for_rollout(each)
        wait = ["wait", "--for=condition=Complete", "job", "--all"]
        self.kubectl(*wait, f"--timeout={READY_SECONDS}s", timeout=READY_SECONDS + 10)

    def wait_for_rollout(self, workload: str) -> None:
        wait = ["rollout", "status", workload, f"--timeout={ROLLOUT_SECONDS}s"]
        self.kubectl(*wait, timeout=ROLLOUT_SECONDS + 10)

    def pods(self, workload: str = "") -> list[dict[str, Any]]:
        """The pods that run on, of one workload or of all, without those of Jobs."""
        pods = self.cluster.get("-n", NAMESPACE, "pods")["items"]
        return [
            each
            for each in pods
            if workload in ("", _name(each))
            and "deletionTimestamp" not in each["metadata"]
            and "job-name" not in each["metadata"]["labels"]
            and _name(each) != "parley-load"
        ]

    def restarts(self) -> dict[str, int]:
        """The restarts of each pod that has any."""
        counts = {each["metadata"]["name"]: _status(each)["restartCount"] for each in self.pods()}
        return {name: count for name, count in counts.items() if count}

    def unready(self) -> set[str]:
        """The workloads of Parley that have a pod which has started and is not ready."""
        found = set()
        for pod in self.pods():
            ready = {each["type"]: each["status"] for each in pod["status"]["conditions"]}["Ready"]
            if ready != "True" and _name(pod) in WORKLOADS:
                found.add(_name(pod))
        return found

    def run_in(self, workload: str, *command: str, timeout: float = 120) -> str:
        """The output of a command in a pod of the workload. Raises CommandFailed."""
        return self.kubectl("exec", f"deploy/{workload}", "--", *command, timeout=timeout)

    def scale(self, kind_and_name: str, replicas: int) -> None:
        self.kubectl("scale", kind_and_name, f"--replicas={replicas}")

    def verify_log(self) -> str:
        """Compare store, log and read model. Raises CommandFailed if they differ."""
        module = ["python", "-m"]
        report = self.run_in("parley-session", *module, "parley_session", "verify-log", timeout=300)
        verify = [*module, "parley_history", "verify", "--workers", "1"]
        return report + self.run_in("parley-history-project", *verify, timeout=300)

    def evict(self, pod: str) -> None:
        """Evict a pod as a node drain does, once its budget permits it."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": NAMESPACE},
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
        create = ["create", "--raw", path, "-f", "-"]
        until(lambda: _succeeds(lambda: self.kubectl(*create, given=json.dumps(eviction))), 120)

    def is_ours(self) -> bool:
        """Whether the tests applied the trial earlier.

        Raises CommandFailed if the namespace exists and is not one of the tests.
        """
        for each in self.cluster.get("namespaces")["items"]:
            if each["metadata"]["name"] == NAMESPACE:
                if _OURS not in each["metadata"]["labels"]:
                    raise CommandFailed(f"The cluster has a namespace {NAMESPACE}: delete it.")
                return True
        return False


def until(condition: Callable[[], object], seconds: float) -> float:
    """The seconds until a condition held. Raises TimeoutError."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.5)
    return time.monotonic() - started


def names(pods: Iterable[dict[str, Any]]) -> list[str]:
    return [each["metadata"]["name"] for each in pods]


def _succeeds(act: Callable[[], object]) -> bool:
    try:
        act()
    except CommandFailed:
        return False
    return True


def _name(pod: dict[str, Any]) -> str:
    name: str = pod["metadata"]["labels"].get("app.kubernetes.io/name", "")
    return name


def _status(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses") or [{"restartCount": 0}]
    return dict(statuses[0])
