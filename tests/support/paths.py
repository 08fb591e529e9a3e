"""Where things are: the checkout, and the lab's own directory on the machine."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path("/var/lib/calico-lab")
"""Caches (seeds of images) and one directory per lab while it is up."""
