"""The trial overlay in a real cluster, applied once for all tests; `make test-k8s` runs them."""

from collections.abc import Callable, Iterator

import pytest
from k8s_support.cluster import Cluster, given_or_new_cluster
from k8s_support.trial import Trial

from tools.manifests import render

# Milliseconds between tokens, so that a reply of some 150 tokens takes a minute.
SLOW_MODEL = 400


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
    cluster.load_image(image)
    trial = Trial(cluster)
    try:
        seconds_to_ready.append(trial.apply())
        yield trial
    finally:
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
