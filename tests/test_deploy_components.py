"""The components that no overlay includes, rendered with the base."""

import re
from pathlib import Path

import pytest
import yaml

from tools.manifests import errors_in, render, render_extra_components

ROOT = Path(__file__).parents[1]


def test_the_components_that_no_overlay_has_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    resources = render_extra_components()
    assert [error for each in resources for error in errors_in(each, ("1.37",))] == []
    kinds = {each["kind"] for each in resources}
    assert {"CronJob", "GCPBackendPolicy", "HealthCheckPolicy", "Ingress"} <= kinds
    for job in (each for each in resources if each["kind"] == "CronJob"):
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True


def test_secrets_as_files_are_those_of_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    objects = {
        each["metadata"]["name"]: yaml.safe_load(each["spec"]["parameters"]["objects"])
        for each in render_extra_components()
        if each["kind"] == "SecretProviderClass"
    }
    wanted = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["volumes"][0]["projected"]
        for each in render("production-external")
        if each["kind"] in ("Deployment", "Job")
    }
    for workload, volume in wanted.items():
        name = re.sub(r"-\d+-\d+-\d+$", "", workload)
        files = {each["objectName"]: each for each in objects[name]}
        for source in (each["secret"] for each in volume["sources"]):
            for item in source["items"]:
                if item["path"] != "kafka-ca.crt":  # Of a private authority; not a secret.
                    found = files.pop(item["path"])
                    assert found["secretKey"] == item["key"]
                    assert found["secretPath"].endswith(source["name"].removeprefix("parley-"))
        assert not files
