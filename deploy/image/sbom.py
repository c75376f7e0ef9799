"""Prints the packages of this interpreter as a CycloneDX 1.6 bill of materials, without a time."""

import json
import re
from importlib.metadata import Distribution, distributions


def component(package: Distribution) -> dict[str, object]:
    name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
    purl = f"pkg:pypi/{name}@{package.version}"
    found: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": package.version,
        "purl": purl,
    }
    if licence := licence_of(package):
        found["licenses"] = [licence]
    return found


def licence_of(package: Distribution) -> dict[str, object] | None:
    """The SPDX expression of the licence, or of older packages the name."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return {"expression": expression}
    classifiers = metadata.get_all("Classifier") or []
    names = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")]
    name = " and ".join(names) or metadata.get("License")
    return {"license": {"name": name}} if name else None


components = [component(each) for each in distributions()]
components.sort(key=lambda each: str(each["bom-ref"]))
document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}
print(json.dumps(document, indent=1))
