"""Where all that we read or write is in etcd.

Apart from `keys`, which takes 20 ms to import: an agent asks for all of it before anything else.
"""

ROOT = "/calico"

READY = "/calico/Ready"
"""Nobody acts on what is there unless this key is true."""

MOVING = "moving"
"""What it says while the cluster is copied into another store, or since that was broken off."""

MOVED = "moved"
"""What it says where another store counts since."""

FILLING = "/calico/migration"
"""Is there in a store while it is filled: what else is there comes from us. It says from where."""

APART_FROM_POLICY = ("/calico/felix/", "/calico/ipam/v2/")
"""How the keys begin that the policy agent does not go by: reports, and who has which address."""
