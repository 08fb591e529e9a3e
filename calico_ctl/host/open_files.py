"""How many files and sockets this process may have open."""

import resource


def allow(count: int) -> None:
    """Allow so many, or as many as the system lets this process allow itself; never fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
