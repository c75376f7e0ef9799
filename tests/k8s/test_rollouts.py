"""Rollouts under load: no text is lost and no request fails."""

import time
from collections.abc import Callable

import pytest
from k8s_support.load import Load
from k8s_support.trial import WORKLOADS, Trial

# Two cores carry these beside the control plane and the starts of ten pods.
LOAD = ("--streams", "100", "--sdk", "20", "--turns", "5")


@pytest.mark.usefixtures("slow_model")
@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "at once"])
def test_a_rollout_of_every_process_loses_nothing(
    together: bool, trial: Trial, image: str, show: Callable[[str], None]
) -> None:
    before = {each: set(_pods(trial, each)) for each in WORKLOADS}
    with Load.running(trial, image, *LOAD) as load:
        started = time.monotonic()
        _wait_for_streams(trial)
        for step in [WORKLOADS] if together else [[each] for each in WORKLOADS]:
            for workload in step:
                trial.kubectl("rollout", "restart", f"deploy/{workload}")
            for workload in step:
                trial.wait_for_rollout(f"deploy/{workload}")
        rolled_out = time.monotonic() - started
        load.stop()
    show(f"{load.figures()}\n{rolled_out:6.0f} s until all pods were replaced")
    assert load.failures() == []
    for workload in WORKLOADS:
        assert not before[workload] & set(_pods(trial, workload))
    assert trial.restarts() == {}
    trial.verify_log()


def _wait_for_streams(trial: Trial) -> None:
    """Until the load, which begins over 20 s, has all its streams open."""
    time.sleep(25)


def _pods(trial: Trial, workload: str) -> list[str]:
    return [each["metadata"]["name"] for each in trial.pods(workload)]
