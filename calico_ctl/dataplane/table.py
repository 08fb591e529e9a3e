"""Our table in the kernel: what to hold as a value comes in, transactions go out.

A live table is never deleted while it can be changed into what it shall be, because that could lose
packets in flight; and there is never a moment without a table.
"""

import logging
from collections.abc import Iterable, Sequence

from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, KernelRefused, Netlink
from calico_ctl.dataplane.nft_watch import NftWatch
from calico_ctl.policy import diff
from calico_ctl.policy.diff import Held, Transaction
from calico_ctl.policy.layout import TO_ENDPOINTS
from calico_ctl.policy.operations import AddTable, DeleteTable
from calico_ctl.policy.ruleset import Names, Ruleset, Set, Step

log = logging.getLogger(__name__)


_FEW = 50
"""Elements that are written in less time than it takes to ask which are there."""

_MANY = 500
"""Objects from which on a change is made while nobody listens."""


class KernelTable:
    """The table `inet calico` of this network namespace. Use from one thread.

    `disturbed` says that somebody else made a transaction, of whatever table, that `watch` was not
    told of; whoever sees it sets it back.
    """

    def __init__(self, watch: NftWatch | None = None) -> None:
        """Open the way to the kernel; change nothing."""
        self._kernel = Netlink(NETFILTER)
        self._watch = watch
        self.disturbed = False

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._kernel.close()

    def exists(self) -> bool:
        """Say whether there is such a table."""
        return nfnetlink.exists(self._kernel)

    def interfaces(self) -> frozenset[str]:
        """Return the interfaces that the table lets through now."""
        return nfnetlink.interfaces(self._kernel, TO_ENDPOINTS)

    def rebuild(self, desired: Ruleset) -> None:
        """Make the table what it shall be, whatever it holds now; raise KernelRefused if not."""
        live = nfnetlink.names(self._kernel)
        held = Held() if live is None else self._held(live, desired)
        try:
            self._apply(diff.rebuild(live or Names(), desired, held))
        except KernelRefused as error:
            if live is None:
                raise
            # Another version of ours may have made a set or chain of the same name otherwise.
            log.warning("cannot change the table that is there, replacing it: %s", error.message)
            self._apply(diff.replace(desired))

    def _held(self, live: Names, desired: Ruleset) -> Held:
        """Look at what is most of a table, addresses with a tag and rules, and at what counts.

        Besides saving time, what is as it shall be keeps what it has counted.
        """
        sets = {k: self._elements(k, v) for k, v in desired.sets.items() if k in live.sets}
        chains = {k: v for k, v in desired.chains.items() if k in live.chains}
        return Held(
            {name: elements for name, elements in sets.items() if elements is not None},
            nfnetlink.chains_as(self._kernel, chains),
        )

    def _elements(self, name: str, like: Set) -> frozenset[str] | None:
        """Return what a set holds, if that is worth to know and of the kind that is expected."""
        if like.counted:
            return frozenset(f'"{each}"' for each in nfnetlink.interfaces(self._kernel, name))
        few = len(like.elements) < _FEW
        if like.type in nfnetlink.ADDRESSES and not like.interval and not few:
            return nfnetlink.addresses(self._kernel, name, like.type)
        return None

    def take(self, step: Step) -> None:
        """Take a step; raise KernelRefused, with no packet's way changed, if not."""
        self._apply(diff.changes(step))

    def _apply(self, transactions: Sequence[Transaction]) -> None:
        if self._watch is None or sum(map(nfnetlink.weight, transactions)) < _MANY:
            self._apply_each(transactions)
            return
        with self._watch.looking_away():
            before = nfnetlink.generation(self._kernel)
            self._apply_each(transactions)
        if nfnetlink.generation(self._kernel) != before + len(transactions):
            self.disturbed = True

    def _apply_each(self, transactions: Iterable[Transaction]) -> None:
        for each in transactions:
            nfnetlink.apply(self._kernel, each)

    def delete(self) -> None:
        """Remove the table if it is there."""
        # Deleting what is not there fails; adding first makes it the same either way.
        nfnetlink.apply(self._kernel, [AddTable(), DeleteTable()])
