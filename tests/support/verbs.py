"""Every verb of a store once, on a key of no importance: for tests of what all of them do."""

from collections.abc import Callable, Mapping

from calico_ctl.datastore.store import Delete, Entry, Put, Store

Verb = Callable[[Store], object]

SEEN = Entry("/a", "1", 1)
READS: Mapping[str, Verb] = {
    "get": lambda store: store.get("/a"),
    "tree": lambda store: store.tree("/a"),
}
WRITES: Mapping[str, Verb] = {
    "put": lambda store: store.put("/a", "1"),
    "create": lambda store: store.create("/a", "1"),
    "swap": lambda store: store.swap(SEEN, "2"),
    "delete": lambda store: store.delete("/a"),
    "write_together": lambda store: store.write_together([Put("/a", "1"), Delete("/b")]),
}
VERBS: Mapping[str, Verb] = {
    **READS,
    **WRITES,
    "watch": lambda store: store.watch("/a", 1, 0.3),
}
