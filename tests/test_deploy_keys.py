"""The signing keys of services in the overlays: each process mounts its own alone."""

import base64
import json
from pathlib import Path

import pytest
from rendered_stack import Stack, secret_names

from parley_core.auth.service_keys import SigningKey
from tools.manifests import overlays, render

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("overlay", overlays())
def test_each_process_has_its_own_signing_key_alone(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    stack = Stack(overlay, monkeypatch, tmp_path)
    holders = {
        secret: {workload.name for workload in stack.workloads if secret in secret_names(workload)}
        for secret in ("signing-gateway", "signing-inference", "signing-history", "service-keys")
    }
    assert holders == {
        "signing-gateway": {"parley-gateway"},
        "signing-inference": {"parley-inference"},
        "signing-history": {"parley-history-serve"},
        "service-keys": {f"parley-{name}" for name in ("gateway", "session", "inference")}
        | {"parley-history-serve"},
    }


def test_the_keys_of_the_trial_belong_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    secrets = {
        secret["metadata"]["name"]: {k: base64.b64decode(v) for k, v in secret["data"].items()}
        for secret in render("trial")
        if secret["kind"] == "Secret"
    }
    keys = [
        SigningKey.parse(values["signing-key"].decode())
        for values in secrets.values()
        if "signing-key" in values
    ]
    [public] = [values["service-keys"] for values in secrets.values() if "service-keys" in values]
    by_id = {key["kid"]: key for key in json.loads(public)["keys"]}
    assert by_id == {key.id: key.public_jwk() for key in keys}
