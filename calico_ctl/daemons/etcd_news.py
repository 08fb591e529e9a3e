"""What a process takes from the news of etcd for itself, whatever it decides about networks.

The level at which the policy agent logs is a setting in etcd (`calicoctl config felix loglevel`)
and holds as soon as it is read, on one host or on all. And whether etcd can be followed is measured
here, because who decides keeps the last state and tells nobody.
"""

import logging

from calico_ctl.daemons.meters import Meters
from calico_ctl.datastore.follow import Changes, Disconnected, Resync
from calico_ctl.model import keys, log_level, metric

log = logging.getLogger(__name__)

_NONE = logging.CRITICAL + 10
LEVELS = {
    "none": _NONE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class EtcdNews:
    """What was heard last; used by one thread."""

    def __init__(self, hostname: str, meters: Meters) -> None:
        """Have heard nothing; log from INFO up."""
        # the host's own goes before the one of all hosts
        setting = log_level.SETTING
        self._keys = (keys.host_config(hostname, setting), keys.global_config(setting))
        self._values: dict[str, str] = {}
        self._meters = meters
        self._level = logging.INFO
        meters.set(metric.CONNECTED, 0)

    def hear(self, *messages: object) -> None:
        """Take in what is of use here of messages that came in, whatever they are."""
        for message in messages:
            self._hear(message)

    def _hear(self, message: object) -> None:
        match message:
            case Resync(entries=entries):
                self._meters.set(metric.CONNECTED, 1)
                self._meters.say("", "etcd")
                self._values = {key: entries[key][0] for key in self._keys if key in entries}
                self._set_level()
            case Changes(changes=changes):
                found = [each for each in changes if each.key in self._keys]
                for each in found:
                    self._values.pop(each.key, None)
                    if each.value is not None:
                        self._values[each.key] = each.value
                if found:
                    self._set_level()
            case Disconnected(reason=reason):
                self._meters.set(metric.CONNECTED, 0)
                self._meters.say(f"etcd is away, the last state stays: {reason}", "etcd")
            case _:
                pass

    def _set_level(self) -> None:
        """Log as is said; a word that is none of ours holds nobody back, and is warned of."""
        key = next((each for each in self._keys if each in self._values), None)
        word = "info" if key is None else log_level.word(self._values[key])
        level = LEVELS.get(word, logging.INFO)
        if level != self._level:
            # Of the two levels the one that lets this be said.
            logging.getLogger().setLevel(min(level, self._level))
            log.info("logging from %s on", word)
            self._level = level
            logging.getLogger().setLevel(level)
        if word not in LEVELS:
            log.warning("%s is %r: expected one of %s", key, word, ", ".join(LEVELS))
