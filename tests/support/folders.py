"""Folders that a lab host shares with the machine, and into which it is to write all the same."""

from tests.support.host import Host


def keep_apart(host: Host, folder: str, size: str = "64m") -> None:
    """Have what a host writes into a folder stay in the host, which has so much room for it.

    What is there can still be read: programs may be there. It lasts as long as the host.
    """
    place = f"/run/apart{folder}"
    layers = f"lowerdir={folder},upperdir={place}/written,workdir={place}/work"
    host.run(
        f"mkdir -p {place} && mount -t tmpfs -o size={size} tmpfs {place}"
        f" && mkdir {place}/written {place}/work && chmod --reference={folder} {place}/written"
        f" && mount -t overlay -o {layers} overlay {folder}",
        quiet=True,
    )
