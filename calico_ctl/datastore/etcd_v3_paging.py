"""A tree of etcd's v3 API in pages: which are asked for.

All pages are of the revision of the first one. Where the next one begins is found in the text of
an answer, before that is read: so etcd can look for it meanwhile, which takes it longer than it
takes us to read one. Ranges that nobody wants are passed over; to read them only to throw them
away may be two thirds of the work.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from calico_ctl.datastore import etcd_v3_messages as messages
from calico_ctl.datastore.etcd_v3_messages import Object

# Of an answer: {"header": {…, "revision": "7"}, "kvs": [{"key": "L2E=", …}, …], "more": true, …}.
# Keys and values are base64, so that no name of a field can be in them.
_REVISION = re.compile(r'"revision"\s*:\s*"(\d+)"')
_KEY = re.compile(r'"key"\s*:\s*"([^"]+)"')
_MORE = re.compile(r'"more"\s*:\s*true')


class Paging:
    """What is asked for, one page after the other."""

    def __init__(self, directory: str, without: Iterable[str], limit: int) -> None:
        """Want all below a directory but for keys that begin as `without` says, which is there.

        `limit` is how many keys there are in a page.
        """
        self._ranges = _ranges(directory, without)
        self._range: Object = next(self._ranges)
        self._limit = str(limit)
        self._revision = "0"
        self._continued = 0

    def first(self) -> Object:
        """Return what the first question is."""
        return self._wanted()

    def following(self, text: str) -> Object | None:
        """Return what to ask next, given the text of the answer before; None: that was all."""
        if self._revision == "0" and (said := _REVISION.search(text)):
            self._revision = said[1]
        last = text.rfind('"key"')
        if last >= 0 and _MORE.search(text, last) and (key := _KEY.match(text, last)):
            self._continued += 1
            self._range["key"] = messages.after(key[1])
            return self._wanted()
        self._range = next(self._ranges, {})
        return self._wanted() if self._range else None

    def fits(self, said: Iterable[Mapping[str, Any]]) -> bool:
        """Say whether the answers, read, are what they were taken for."""
        pages = list(said)
        return (
            pages[0]["header"].get("revision") == self._revision
            and sum(bool(each.get("more")) for each in pages) == self._continued
        )

    def _wanted(self) -> Object:
        return {**self._range, "limit": self._limit, "revision": self._revision}


def _ranges(directory: str, without: Iterable[str]) -> Iterator[Object]:
    """Yield what is between the ranges that are left out."""
    base = directory.rstrip("/")
    start, end = f"{base}/", base + messages.AFTER_SLASH
    for prefix in sorted(without):
        if start < prefix:
            yield messages.between(start, prefix)
        start = max(start, prefix[:-1] + chr(ord(prefix[-1]) + 1))
    yield messages.between(start, end)
