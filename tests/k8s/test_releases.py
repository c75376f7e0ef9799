"""An update to the next release under load, and back: both run beside each other."""

import subprocess
from collections.abc import Callable

import pytest
import yaml
from k8s_support.load import Load
from k8s_support.trial import WORKLOADS, Trial

from tools.manifests import render

LOAD = ("--streams", "30", "--sdk", "6", "--turns", "5")
NEXT = "0.1.1-test"
# Adds a migration to each store.
PLANT = """
from pathlib import Path
from parley_history.storage.migrations import MIGRATIONS as history
from parley_session.storage.migrations import MIGRATIONS as session
for folder, table in ((session, "sessions"), (history, "discarded_records")):
    last = max(int(file.name[:4]) for file in Path(str(folder)).glob("0*.sql"))
    statement = f"-- expand\\nALTER TABLE {table} ADD COLUMN planted text;\\n"
    Path(str(folder), f"{last + 1:04}_planted.sql").write_text(statement)
"""


@pytest.fixture(scope="module")
def next_image(trial: Trial, image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image with one more migration of each store."""
    if not trial.cluster.can_load:
        pytest.skip("needs PARLEY_TEST_IMAGE_LOAD, for the image of the next release")
    folder = tmp_path_factory.mktemp("next")
    (folder / "plant.py").write_text(PLANT)
    steps = [f"FROM {image}", "USER 0", "COPY plant.py /plant.py", "RUN python /plant.py"]
    (folder / "Dockerfile").write_text("\n".join([*steps, "USER 10001:10001", ""]))
    name = f"{image.rpartition(':')[0]}:{NEXT}"
    subprocess.run(["docker", "build", "-q", "-t", name, folder], check=True, capture_output=True)
    trial.cluster.load_image(name)
    return name


@pytest.mark.usefixtures("slow_model")
def test_an_update_and_the_way_back_lose_nothing(
    trial: Trial, image: str, next_image: str, show: Callable[[str], None]
) -> None:
    with Load.running(trial, image, *LOAD) as load:
        for release in (next_image, image):
            trial.kubectl("apply", "-f", "-", given=_manifests(image, release))
            for workload in WORKLOADS:
                trial.wait_for_rollout(f"deploy/{workload}")
            trial.wait_until_ready()
        load.stop()
    show(load.figures())
    assert load.failures() == []
    trial.verify_log()


def _manifests(image: str, release: str) -> str:
    """The overlay of a release: its image, and the names of its Jobs; the engines stay."""
    text = yaml.safe_dump_all(
        each
        for each in render("trial")
        if each["kind"] == "Job" or each["metadata"]["name"] in WORKLOADS
    )
    if release == image:
        return text
    version, following = image.rpartition(":")[2], release.rpartition(":")[2]
    jobs = text.replace("-" + version.replace(".", "-"), "-" + following.replace(".", "-"))
    return jobs.replace(image, release)
