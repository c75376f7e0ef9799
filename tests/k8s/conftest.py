"""The trial overlay in a real cluster, applied once for all tests; `make test-k8s` runs them.

With PARLEY_TEST_KEEP set, the trial stays for the next run, which does not apply it again.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from k8s_support.cluster import Cluster, given_or_new_cluster
from k8s_support.trial import Trial

from tools.manifests import render

# Milliseconds between tokens, so that a reply of some 150 tokens takes a minute.
SLOW_MODEL = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for the wait for pods, also before the first test and after the last."""
    for item in items:
        if "k8s" in item.path.parts:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with given_or_new_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
            yield cluster
    except LookupError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def image() -> str:
    """The image of every pod of the trial."""
    (image,) = {
        each["spec"]["template"]["spec"]["containers"][0]["image"]
        for each in render("trial")
        if each["kind"] in ("Deployment", "StatefulSet", "Job")
    }
    return str(image)


@pytest.fixture(scope="session")
def seconds_to_ready() -> list[float]:
    return []


@pytest.fixture(scope="session")
def trial(cluster: Cluster, image: str, seconds_to_ready: list[float]) -> Iterator[Trial]:
    trial, keep = Trial(cluster), "PARLEY_TEST_KEEP" in os.environ
    try:
        if not (keep and trial.is_ours()):
            cluster.load_image(image)
            seconds_to_ready.append(trial.apply())
        yield trial
    finally:
        if not keep:
            trial.delete()


@pytest.fixture
def slow_model(trial: Trial) -> Iterator[None]:
    """The demo model streams slowly during this test."""
    for setting in (f"={SLOW_MODEL}", "-"):  # The second removes it.
        variable = f"PARLEY_DEMO_MODEL_DELAY_MS{setting}"
        trial.kubectl("set", "env", "deploy/parley-model", variable)
        trial.wait_for_rollout("deploy/parley-model")
        if setting != "-":
            yield


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints figures beside the results of the tests."""

    def shown(figures: str) -> None:
        with capsys.disabled():
            print(f"\n{figures}")

    return shown
