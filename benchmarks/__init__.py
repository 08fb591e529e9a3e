"""Measurements on real things: etcd, the agent as a process of its own, the kernel's nftables.

Each module named in `make bench` runs by itself and prints one table: what, measured, target. It
exits with 1 if a target is missed. All traffic stays in private network namespaces, and every load
is bounded in count and time. Nothing here is imported by the product.
"""
