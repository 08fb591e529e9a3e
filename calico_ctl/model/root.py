"""Where all that we read or write is in etcd.

Apart from `keys`, which takes 20 ms to import: an agent asks for all of it before anything else.
"""

ROOT = "/calico"
