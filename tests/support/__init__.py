"""The test house: several real Docker hosts on one machine, for system tests and the demo.

A `lab.Lab` holds an underlay (one bridge) and hosts; a `host.Host` is a set of Linux namespaces
with a Docker Engine of its own. `etcd.Etcd` is a real etcd, `netns.NetNs` a network namespace for
code that changes links and firewalls, `probes` is traffic with a bounded time, `leftovers` lists
what should not be there any more.

Nothing in here knows what calicoctl does, and no packet leaves the machine: no host has a route
to the outside.
"""
