"""The production overlays, as the API server would take them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from k8s_support.cluster import Cluster
from k8s_support.definitions import definitions

from tools.manifests import render

NAMESPACE = "parley-dry-run"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A restricted namespace in a cluster that knows the custom kinds, if not their operators."""
    new = [each for each in definitions() if not _exists(cluster, each)]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": NAMESPACE, "labels": labels}
    made = [*new, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    cluster.kubectl("apply", "--server-side", "-f", "-", given=items)
    try:
        for each in new:
            name = f"crd/{each['metadata']['name']}"
            cluster.kubectl("wait", "--for=condition=Established", name, "--timeout=30s")
        yield NAMESPACE
    finally:
        cluster.kubectl("delete", "--wait=false", "-f", "-", given=items)


@pytest.mark.parametrize("overlay", ["production", "production-external"])
def test_the_api_server_would_take_every_resource(
    overlay: str, cluster: Cluster, namespace: str
) -> None:
    resources = [_moved(each, namespace) for each in render(overlay) if each["kind"] != "Namespace"]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": resources})
    arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"]
    answer = cluster.kubectl(*arguments, given=items)
    assert len(answer.splitlines()) == len(resources)


def _moved(resource: dict[str, Any], namespace: str) -> dict[str, Any]:
    if "namespace" not in resource["metadata"]:
        return resource
    return resource | {"metadata": resource["metadata"] | {"namespace": namespace}}


def _exists(cluster: Cluster, definition: dict[str, Any]) -> bool:
    name = f"crd/{definition['metadata']['name']}"
    return bool(cluster.kubectl("get", name, "--ignore-not-found", "-o", "name"))
