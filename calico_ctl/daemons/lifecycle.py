"""Finishes what broke off on this host: see `workload.attach.recover`."""

import logging

from calico_ctl.daemons.runtime import Runtime
from calico_ctl.errors import CalicoError
from calico_ctl.workload import attach
from calico_ctl.workload.platform import Platform

log = logging.getLogger(__name__)

RECOVER_SECONDS = 2.0


def run(platform: Platform) -> None:
    """Look every few seconds until told to stop."""
    runtime = Runtime()
    runtime.stop_on_signals()
    runtime.tick_every(RECOVER_SECONDS)
    for _ in runtime.batches():
        try:
            recovered = attach.recover(platform)
        except CalicoError as error:
            log.warning("cannot take back what broke off, trying again: %s", error.message)
            continue
        for key in recovered:
            log.info("took back what broke off: endpoint %s of workload %s", key.id, key.workload)
