"""The password for etcd, from where the settings say it is."""

import os
import stat

from calico_ctl.errors import InvalidValue
from calico_ctl.model import etcd_access
from calico_ctl.model.etcd_access import EtcdLogin

_LONGEST = 4096
"""Letters. Nobody has such a password; a wrong file, or an endless one, is named in time."""


def password(login: EtcdLogin | None) -> str:
    """Return the password, empty without a login; of a file, the first line.

    Warns of a file that others may read. Raises InvalidValue if there is none in it.
    """
    if login is None:
        return ""
    if not login.password_file:
        return login.password
    path = login.password_file
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - one file for both questions
            mode = os.fstat(file.fileno()).st_mode
            found = file.readline(_LONGEST + 1).rstrip("\r\n")
    except OSError as error:
        expected = f"a file that can be read ({error.strerror})"
        raise InvalidValue(etcd_access.PASSWORD_FILE, path, expected) from error
    except UnicodeDecodeError as error:
        raise InvalidValue(etcd_access.PASSWORD_FILE, path, "a password in UTF-8") from error
    if not 0 < len(found) <= _LONGEST:
        raise InvalidValue(etcd_access.PASSWORD_FILE, path, "a file with a password in its line")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        _warn(path)
    return found


def _warn(path: str) -> None:
    # Imported here: 10 ms, and most passwords are kept well.
    import logging

    logging.getLogger(__name__).warning(
        "warning: others may read the password for etcd in %s: chmod 600 it", path
    )
