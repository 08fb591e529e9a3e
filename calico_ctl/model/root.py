"""Where all that we read or write is in etcd.

Apart from `keys`, which takes 20 ms to import: an agent asks for all of it before anything else.
"""

ROOT = "/calico"

APART_FROM_POLICY = ("/calico/felix/", "/calico/ipam/v2/")
"""How the keys begin that the policy agent does not go by: reports, and who has which address."""
