"""Finishes what broke off on this host: see `workload.attach.recover`."""

import logging
from collections.abc import Iterator

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
    for _ in turns(platform, runtime):
        pass


def turns(platform: Platform, runtime: Runtime) -> Iterator[None]:
    """Take back what broke off at every tick; yield after each."""
    for _ in runtime.batches():
        try:
            for key in attach.recover(platform):
                log.info("took back what broke off: %s of workload %s", key.id, key.workload)
        except CalicoError as error:
            log.warning("cannot take back what broke off, trying again: %s", error.message)
        yield
