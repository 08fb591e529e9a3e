"""What is inside the frozen calicoctl, in CycloneDX's JSON: `sbom.py <its directory>`.

Run by build_binary.sh with the interpreter that was frozen: what is installed for that, and named
in requirements.txt, is what went in. The libraries of the system are named by their digest.
"""

import hashlib
import json
import os
import platform
import re
import sys
import uuid
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from calico_ctl import __version__  # noqa: E402 - found from the checkout

Json = dict[str, object]


def document(directory: Path, moment: datetime) -> Json:
    """Return the bill of materials of a directory that was frozen."""
    components = [*_packages(), _python(), *_libraries(directory / "_internal")]
    fixed = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{fixed}",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "name": "calicoctl",
                "version": __version__,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
    }


def _packages() -> list[Json]:
    """Return the packages of requirements.txt, at the versions that are installed."""
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    names = [found[0] for line in lines if (found := re.match(r"[A-Za-z0-9._-]+(?===)", line))]
    return [_package(name) for name in sorted([*names, "pyinstaller"], key=str.lower)]


def _package(name: str) -> Json:
    about = metadata.metadata(name)
    version = metadata.version(name)
    found: Json = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
    }
    licence = about.get("License-Expression") or (about.get("License") or "").partition("\n")[0]
    if licence:
        found["licenses"] = [{"license": {"name": licence}}]
    return found


def _python() -> Json:
    version = platform.python_version()
    return {
        "type": "framework",
        "name": "CPython",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
        "licenses": [{"license": {"id": "Python-2.0"}}],
    }


def _libraries(inside: Path) -> list[Json]:
    """Return the shared libraries that came from the system: those at the top."""
    return [
        {
            "type": "file",
            "name": path.name,
            "hashes": [
                {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}
            ],
        }
        for path in sorted(inside.glob("*.so*"))
    ]


if __name__ == "__main__":
    day = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    print(json.dumps(document(Path(sys.argv[1]), day), indent=2))
