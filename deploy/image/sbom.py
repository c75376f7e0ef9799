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
    if expression := package.metadata.get("License-Expression"):
        found["licenses"] = [{"expression": expression}]
    return found


components = [component(each) for each in distributions()]
components.sort(key=lambda each: str(each["bom-ref"]))
document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}
print(json.dumps(document, indent=1))
