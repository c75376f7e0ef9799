"""The trial overlay, applied at once to a cluster without it."""

import json
from collections.abc import Callable

import pytest
from k8s_support.cluster import CommandFailed
from k8s_support.load import Load
from k8s_support.trial import NAMESPACE, Trial

Show = Callable[[str], None]
# What Kubernetes grants to everybody: to ask about oneself, and the documents of the API.
GRANTED_TO_ALL = ("selfsubject", "[/")


def test_everything_applied_at_once_becomes_ready_without_a_restart(
    trial: Trial, seconds_to_ready: list[float], show: Show
) -> None:
    if not seconds_to_ready:
        pytest.skip("the trial was applied by an earlier run")
    assert trial.restarts() == {}
    jobs = trial.cluster.get("-n", NAMESPACE, "jobs")["items"]
    failed = {each["metadata"]["name"]: each["status"].get("failed", 0) for each in jobs}
    show(f"ready after {seconds_to_ready[0]:.0f} s; failed attempts of Jobs: {failed}")


def test_a_person_and_openais_package_chat_through_the_service(
    trial: Trial, image: str, show: Show
) -> None:
    options = ("--streams", "1", "--turns", "1", "--sdk", "2", "--once")
    with Load.running(trial, image, *options) as load:
        load.wait_for_end()
    assert load.failures() == []
    assert {each["kind"] for each in load.outcomes} >= {"stream", "turn", "sdk", "history", "audit"}
    show(load.figures())


def test_the_namespace_refuses_a_pod_that_is_not_restricted(trial: Trial) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "any"}]},
    }
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        trial.kubectl("create", "--dry-run=server", "-f", "-", given=json.dumps(pod))


def test_the_service_accounts_may_do_nothing(trial: Trial) -> None:
    accounts = trial.kubectl("get", "serviceaccounts", "-o", "name").split()
    assert len(accounts) >= 6
    for account in accounts:
        name = f"system:serviceaccount:{NAMESPACE}:{account.partition('/')[2]}"
        _, *rights = trial.kubectl("auth", "can-i", "--list", f"--as={name}").splitlines()
        assert [each for each in rights if not each.strip().startswith(GRANTED_TO_ALL)] == [], name


def test_no_pod_has_a_token_of_the_kubernetes_api(trial: Trial) -> None:
    for pod in trial.pods():
        mounts = pod["spec"]["containers"][0].get("volumeMounts", [])
        paths = [each["mountPath"] for each in mounts]
        assert "/var/run/secrets/kubernetes.io/serviceaccount" not in paths
