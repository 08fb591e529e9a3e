"""All checks of whether this machine can be a node, in the order in which they are shown."""

from calico_ctl.diagnostics import capabilities, network_settings, services
from calico_ctl.diagnostics.check import Check
from calico_ctl.diagnostics.platform import Platform


def checks(platform: Platform) -> list[Check]:
    """Return them; nothing is looked at before each test is called."""
    return [*capabilities.checks(), *network_settings.checks(), *services.checks(platform)]
