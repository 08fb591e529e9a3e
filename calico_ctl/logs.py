"""How daemons log: a line to stderr, without the time, which the log service adds."""

import logging


def to_stderr() -> None:
    """Send every logger's lines from INFO up to stderr."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
