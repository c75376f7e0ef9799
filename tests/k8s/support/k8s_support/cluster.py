"""The cluster of the tests: one that is given, or one that kind or k3d creates for them."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.manifests import kubectl

NEEDS = (
    "These tests need a cluster: set PARLEY_TEST_KUBECONFIG and, if it cannot pull the image, "
    "PARLEY_TEST_IMAGE_LOAD (such as `kind load docker-image {image}`), or install kind or k3d."
)
_NAME = "parley-test"
_CREATE = {
    "kind": "kind create cluster --name {name} --kubeconfig {kubeconfig} --wait 120s",
    "k3d": "k3d cluster create {name} --wait --kubeconfig-update-default=false",
}
_LOAD = {
    "kind": "kind load docker-image {image} --name parley-test",
    "k3d": "k3d image import {image} --cluster parley-test",
}
_DELETE = {"kind": "kind delete cluster --name {name}", "k3d": "k3d cluster delete {name}"}


class CommandFailed(Exception):
    """The standard error of a command that failed."""


class Cluster:
    def __init__(self, kubeconfig: str, load: str | None) -> None:
        """`load` is a command that brings an image into the cluster; it contains `{image}`."""
        self._command = [str(kubectl()), "--kubeconfig", kubeconfig]
        self._load = load

    @property
    def can_load(self) -> bool:
        return self._load is not None

    def load_image(self, image: str) -> None:
        """Bring an image of this machine's Docker into a cluster that cannot pull it."""
        if self._load is not None:
            _run([each.format(image=image) for each in shlex.split(self._load)], timeout=300)

    def kubectl(self, *arguments: str, given: str | None = None, timeout: float = 120) -> str:
        """The standard output of kubectl. Raises CommandFailed."""
        return _run([*self._command, *arguments], given=given, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        """What `kubectl get -o json` prints."""
        return json.loads(self.kubectl("get", "-o", "json", *arguments))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """A kubectl that runs on, with its standard output in a pipe."""
        return subprocess.Popen(
            [*self._command, *arguments], stdout=subprocess.PIPE, text=True, errors="replace"
        )


@contextmanager
def given_or_new_cluster(folder: Path) -> Iterator[Cluster]:
    """Raises LookupError if there is neither a cluster nor a program that creates one."""
    if kubeconfig := os.environ.get("PARLEY_TEST_KUBECONFIG"):
        yield Cluster(kubeconfig, os.environ.get("PARLEY_TEST_IMAGE_LOAD"))
        return
    program = next((each for each in _CREATE if shutil.which(each)), None)
    if program is None:
        raise LookupError(NEEDS)
    file = folder / "kubeconfig"
    names = {"name": _NAME, "kubeconfig": str(file)}
    _run(shlex.split(_CREATE[program].format(**names)), timeout=600)
    try:
        if program == "k3d":
            file.write_text(_run(["k3d", "kubeconfig", "get", _NAME]))
        yield Cluster(str(file), _LOAD[program])
    finally:
        _run(shlex.split(_DELETE[program].format(**names)), timeout=300)


def _run(command: list[str], *, given: str | None = None, timeout: float = 120) -> str:
    ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout)
    if ended.returncode:
        raise CommandFailed(f"{shlex.join(command)}\n{ended.stdout}{ended.stderr}")
    return ended.stdout
