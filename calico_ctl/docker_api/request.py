"""What is asked of the engine when one of our own containers is created, as a value."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

CONFIGURATION_LABEL = "org.projectcalico.configuration"
"""Holds a digest of the request, so that the next `calicoctl node` knows whether it differs."""


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """A container's name and the body of its create call, without our label."""

    name: str
    body: Mapping[str, object]

    @property
    def digest(self) -> str:
        """A fingerprint of everything that was asked for."""
        canonical = json.dumps(self.body, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def labelled(self) -> dict[str, object]:
        """Return the body with its own digest as a label."""
        return {**self.body, "Labels": {CONFIGURATION_LABEL: self.digest}}
