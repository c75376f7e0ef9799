"""The components that no overlay includes, rendered with the base."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from rendered_stack import Resource, Stack, Workload, variables

from parley_gateway.settings import GatewaySettings
from parley_session.settings import SessionSettings
from tools.manifests import errors_in, render, render_extra_components

ROOT = Path(__file__).parents[1]
OWNERS = {
    f"parley-{name}{made}" for name in ("session", "history") for made in ("", "-postgres-app")
}


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


@pytest.mark.parametrize("overlay", ["production", "production-external"])
def test_only_migrations_and_rebuilds_connect_as_the_owner_of_a_database(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    stack = Stack(overlay, monkeypatch, tmp_path)
    secrets = {
        re.sub(r"-\d+-\d+-\d+$", "", each.name): source["secret"]["name"]
        for each in stack.workloads
        for volume in each.pod.get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if {"path": "database-url"}.items() <= source["secret"]["items"][0].items()
    }
    commands = {"parley-rebuild-history", "parley-verify-history"} & secrets.keys()
    migrations = {"parley-migrate-session", "parley-migrate-history"}
    assert {name for name, secret in secrets.items() if secret in OWNERS} == commands | migrations
    assert secrets["parley-session"] == "parley-session-runtime"
    assert secrets["parley-history-project"] == "parley-history-runtime"
    assert secrets["parley-history-serve"] == "parley-history-reader"
    given = {
        value.replace("_", "-")
        for each in stack.of("Job")
        for variable, value in stack.environment(_named(stack, each)).items()
        if variable.endswith("_ROLE")
    }
    assert given == {*secrets.values()} - OWNERS
    managed = [
        (role["name"], role["passwordSecret"]["name"])
        for cluster in stack.of("Cluster")
        for role in cluster["spec"]["managed"]["roles"]
    ]
    assert {name.replace("_", "-") for name, _ in managed} == (given if managed else set())
    assert all(name.replace("_", "-") == secret for name, secret in managed)


def test_with_tls_every_call_is_to_a_name_of_a_certificate_and_shows_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    resources = render_extra_components()
    certificates = {
        each["spec"]["secretName"]: each["spec"]
        for each in resources
        if each["kind"] == "Certificate"
    }
    settings = variables(GatewaySettings) | variables(SessionSettings)
    called = set()
    with_tls = ("gateway", "session", "inference", "history-serve")
    for name in (f"parley-{each}" for each in with_tls):
        (pod,) = (
            each["spec"]["template"]["spec"]
            for each in resources
            if each["kind"] == "Deployment" and each["metadata"]["name"] == name
        )
        (container,) = pod["containers"]
        environment = {each["name"]: each.get("value", "") for each in container["env"]}
        tls = {n: value for n, value in environment.items() if n.startswith("PARLEY_TLS_")}
        # Everybody calls the gateway; the others are called by processes with certificates.
        assert len(tls) == (3 if name == "parley-gateway" else 4)
        assert tls.keys() <= settings
        (volume,) = (each["secret"] for each in pod["volumes"] if each["name"] == "tls")
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "tls")
        files = {f"{mount['mountPath']}/{file}" for file in ("tls.crt", "tls.key", "ca.crt")}
        assert set(tls.values()) == files
        certificate = certificates[volume["secretName"]]
        assert {"server auth", "client auth"} <= set(certificate["usages"])
        assert certificate["dnsNames"] == [name]
        urls = {v for n, v in environment.items() if re.fullmatch(r"PARLEY_[A-Z]+_URL", n)}
        assert all(url.startswith("https://") for url in urls)
        called |= {urlsplit(url).hostname for url in urls}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == "management"
    assert called == {"parley-session", "parley-inference", "parley-history-serve"}


def _named(stack: Stack, resource: Resource) -> Workload:
    (found,) = (each for each in stack.workloads if each.name == resource["metadata"]["name"])
    return found
