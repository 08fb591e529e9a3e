"""Routed networking and access control for plain Docker hosts.

The rooms, from the ground up: `errors` (what can go wrong), `model` (the nouns), `policy`, `bgp`
and `ipam` (pure decisions), `host` (programs, files, sysctls), `datastore`, `docker_api` and
`dataplane` (one door to each outside thing), `workload` (steps shared by command and daemons),
`wiring` (which real thing is used), `daemons` (what runs inside calico-node), `commands` (what a
person types) and `main` (the front door). Imports only go down that list.
"""

__version__ = "1.0.0"
