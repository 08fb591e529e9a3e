"""Keeping a daemon's report in etcd alive without waking anybody.

A report is told when it changes. Told again and again only to stay alive, the reports of hundreds
of hosts would wake each of hundreds of followers a hundred times a second (decision 0022). So it is
refreshed, which nobody is told of, and only once in so many times told again: etcd remembers the
last 1,000 changes, refreshments included, and who follows a cluster in which nothing else happens
has to hear of something before these are over.
"""

import random

from calico_ctl.datastore.store import Store

TOLD_AGAIN = 15
"""Which turn tells again; in a cluster of any size, one in so many refreshments is told."""


class Heartbeat:
    """Of the report under one key, which lives `ttl` seconds."""

    def __init__(self, store: Store, key: str, ttl: int) -> None:
        """Have told nothing yet."""
        self._store = store
        self._key = key
        self._ttl = ttl
        # Where in the round it begins is chance, so that not all hosts tell at the same time.
        self._turns = random.randrange(TOLD_AGAIN)  # noqa: S311 - spreads load, hides nothing

    def keeps(self) -> bool:
        """Keep what was told alive; say whether that is enough: else it has to be told again."""
        self._turns = (self._turns + 1) % TOLD_AGAIN
        return self._turns > 0 and self._store.refresh(self._key, self._ttl)
