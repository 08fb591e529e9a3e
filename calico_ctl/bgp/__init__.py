"""Peers and pools to a BIRD configuration, as values: no I/O."""
