"""Pods that die without warning: nothing that was acknowledged is lost."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from k8s_support.cluster import CommandFailed
from k8s_support.load import Load
from k8s_support.trial import NAMESPACE, WORKLOADS, Trial, names, until

LOAD = ("--streams", "10", "--turns", "5", "--patient", "--facts", "10")
# Processes of 40 MB each, smaller than the service, so that the kernel kills the service.
EAT_MEMORY = """
import os, signal, time
for number in range(40):
    if os.fork() == 0:
        eaten = bytearray(os.urandom(1)) * 40_000_000
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""


def evict(trial: Trial, pod: str) -> None:
    trial.evict(pod)


def delete_by_force(trial: Trial, pod: str) -> None:
    trial.kubectl("delete", "pod", pod, "--force", "--grace-period=0")


def kill_for_memory(trial: Trial, pod: str) -> None:
    with suppress(CommandFailed):  # Killed together with its container.
        trial.kubectl("exec", pod, "--", "python", "-c", EAT_MEMORY, timeout=100)

    def killed() -> bool:
        status = trial.cluster.get("-n", NAMESPACE, "pod", pod)["status"]["containerStatuses"][0]
        return bool(status["lastState"].get("terminated", {}).get("reason") == "OOMKilled")

    until(killed, 60)


DEATHS = {"evicted": evict, "deleted by force": delete_by_force, "out of memory": kill_for_memory}


@pytest.mark.parametrize("death", DEATHS)
def test_nothing_that_was_acknowledged_is_lost(
    death: str, trial: Trial, image: str, show: Callable[[str], None]
) -> None:
    with Load.running(trial, image, *LOAD) as load:
        until(lambda: load.of("turn") and load.of("stream"), 90)
        for workload in WORKLOADS:
            DEATHS[death](trial, names(trial.pods(workload))[0])
            time.sleep(2)  # Dead before the next: the other replica serves.
            trial.wait_for_rollout(f"deploy/{workload}")
        load.stop()
    show(f"{death}\n{load.figures()}")
    (audit,) = load.of("audit")
    assert audit["ok"], audit
    # A reply may end as interrupted, with what it had; nothing else fails.
    codes = {each["code"] for each in load.outcomes if not each["ok"]}
    assert codes <= {"interrupted"}
    trial.verify_log()
