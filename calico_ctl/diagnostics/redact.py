"""Takes secrets out of what is collected. Pure: text in, text out.

Twice, because neither way is enough. By place: fields, variables, headers and addresses whose name
or form says that a secret is there. By value: what is known to be a secret is taken out wherever
else it turns up, in a log for example.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping

PLACEHOLDER = "<redacted>"

SHORTEST = 4
"""Known secrets of fewer characters are not looked for: what is left would be unreadable."""

_WORDS = (
    r"passw(?:or)?d|passphrase|secret|(?:identity|registry)?token|credential"
    r"|api_?key|access_?key|private_?key|basic_?auth|(?<![a-z])auth(?![a-z])"
    # PWD alone is a folder, and names of the kernel's settings have a "pass" within
    r"|(?:(?<![a-z])pass|(?<=[a-z0-9][_.-])pwd)(?![a-z0-9_.-])"
)
_SECRET_NAME = re.compile(rf"(?:^|[^a-z])(?:{_WORDS}|authorization)s?(?:$|[^a-z])", re.IGNORECASE)
_KEY_VARIABLE = re.compile(r"[A-Z0-9]_KEY(?:_|$)")
_PATH_NAME = re.compile(r"(?:file|path|dir)$", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_OURS = re.compile(r"CALICO_|FELIX_")
_KEPT_VARIABLES = {
    *("HOSTNAME", "IP", "IP6", "PATH", "DOCKER_HOST", "ETCD_AUTHORITY", "ETCD_SCHEME", "ETCD_API"),
    *("ETCD_CA_CERT_FILE", "ETCD_CERT_FILE", "ETCD_KEY_FILE", "ETCD_USERNAME"),
    "ETCD_PASSWORD_FILE",
}
_ARGUMENTS = {"Args", "Cmd", "Entrypoint", "Healthcheck", "Health"}

_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
)
_USER_IN_URL = re.compile(
    r"(?<=://)(?:[^/\s\"']+|[^/\s\"'@:]{1,64}:(?!\d{1,5}(?:/|$))[^\s\"'@]{1,256})@"
)
# as some write a proxy; the digest of an image looks much the same
_USER_BEFORE_HOST = re.compile(
    r"(?<![\w/.@:%+-])[\w.%+-]{1,64}:[^\s\"'@,]{1,128}@(?!sha\d)(?=(?:[\w.-]{1,255}|\[[\da-f:.]+\]):\d)",
    re.IGNORECASE,
)
_SWARM = re.compile(r"SWMTKN-[\w-]+")
_BEARER = re.compile(r"(\bBearer\s+)[\w.~+/=-]{12,}")
_HEADER = re.compile(
    r"((?:authorization|x-registry-auth|x-registry-config)\"?\s*:\s*\"?)[^\r\n\"]+", re.IGNORECASE
)
_QUOTED_HEADER = re.compile(r"(authorization'\s*:\s*b?')[^\r\n']+", re.IGNORECASE)
# --name value, and "--name", "value"
_OPTION = re.compile(
    r"((?<!-)--[a-z0-9-]{0,40}(?:passw(?:or)?d|passphrase|secret|token)[\"']?,?\s{1,20})"
    r"(?!-)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,\"'\]]+)",
    re.IGNORECASE,
)
# what etcdctl and clients of HTTP take; numbers are those of a user and a group
_USER_OPTION = re.compile(r"((?<!\S)(?:-u|--user)[= ][^\s:\"']{1,64}:)(?!\d+(?!\S))[^\s\"']+")
_BIRD = re.compile(r"(\bpassword\s+)(\"[^\"\n]*\"|'[^'\n]*')", re.IGNORECASE)
# name=value and name: value, quoted or not, in whatever program's words
_NAMED = re.compile(
    rf"((?:{_WORDS})(?![a-z0-9_.-]{{0,40}}(?:file|path|dir)\b)[a-z0-9_.-]{{0,40}}"
    r"[\\\"']{0,2}\s{0,9}[=:]\s{0,9})"
    r"(\\\"(?:(?!\\\").)*\\\"|\"(?:[^\"\\]|\\.)*\"|'[^'\n]*'|[^\s,;&\"'}\]<\[{\\]+)",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"\\?[\"']|")


def text(given: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what looks like a secret, and without those that are known."""
    given = _PRIVATE_KEY.sub(PLACEHOLDER, given)
    given = _SWARM.sub(PLACEHOLDER, given)
    for pattern in (_USER_IN_URL, _USER_BEFORE_HOST):
        given = pattern.sub(f"{PLACEHOLDER}@", given)
    for pattern in (_HEADER, _QUOTED_HEADER, _BEARER, _USER_OPTION):
        given = pattern.sub(rf"\g<1>{PLACEHOLDER}", given)
    for pattern in (_BIRD, _OPTION, _NAMED):
        given = pattern.sub(_with_its_quotes, given)
    # The longest first: one may be a part of another.
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST:
            given = given.replace(secret, PLACEHOLDER)
    return given


def _with_its_quotes(found: re.Match[str]) -> str:
    quote = _QUOTE.match(found[2])
    mark = quote[0] if quote else ""
    return f"{found[1]}{mark}{PLACEHOLDER}{mark}"


def is_secret_name(name: str) -> bool:
    """Say whether a field or variable of that name holds a secret; a path of a file is none."""
    spread = _CAMEL.sub("_", name)
    is_secret = _SECRET_NAME.search(spread) or _KEY_VARIABLE.search(name)
    return bool(is_secret) and not _PATH_NAME.search(name)


def value(given: object) -> object:
    """Return a JSON value without what its fields' names say is secret."""
    if isinstance(given, Mapping):
        return {
            name: PLACEHOLDER if is_secret_name(str(name)) and each else value(each)
            for name, each in given.items()
        }
    if isinstance(given, list | tuple):
        return [value(each) for each in given]
    return given


def stored(key: str, given: str) -> str:
    """Return the value of a key in etcd without secrets."""
    if is_secret_name(key.rsplit("/", 1)[-1]):
        return PLACEHOLDER
    try:
        parsed = json.loads(given)
    except (ValueError, RecursionError):
        return text(given)
    return json.dumps(value(parsed)) if isinstance(parsed, dict | list) else given


def inspected(container: Mapping[str, object], *, ours: bool) -> object:
    """Return what Docker says of a container without its environment, but for our own variables.

    Of a container that is not `ours`, what it was told to run goes too: people put passwords there.
    """
    return value(_without_environment(container, ours=ours))


def _without_environment(given: object, *, ours: bool) -> object:
    if isinstance(given, Mapping):
        return {name: _kept(str(name), each, ours=ours) for name, each in given.items()}
    if isinstance(given, list | tuple):
        return [_without_environment(each, ours=ours) for each in given]
    return given


def _kept(name: str, given: object, *, ours: bool) -> object:
    if name == "Env" and isinstance(given, list):
        return [_variable(str(each), ours=ours) for each in given]
    if name in _ARGUMENTS and given and not ours:
        return PLACEHOLDER
    return _without_environment(given, ours=ours)


def _variable(line: str, *, ours: bool) -> str:
    name, _, _ = line.partition("=")
    is_kept = _OURS.match(name) or (ours and name in _KEPT_VARIABLES)
    return line if is_kept and not is_secret_name(name) else f"{name}={PLACEHOLDER}"


def secrets_in(variables: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the values of variables, or fields, whose names say that they are secret."""
    for name, each in variables:
        if is_secret_name(name) and each:
            yield from spellings(each)


def secrets_within(given: object) -> Iterator[str]:
    """Yield the values of all fields of a JSON value whose names say that they are secret."""
    if isinstance(given, Mapping):
        for name, each in given.items():
            if isinstance(each, str):
                yield from secrets_in([(str(name), each)])
            else:
                yield from secrets_within(each)
    elif isinstance(given, list | tuple):
        for each in given:
            yield from secrets_within(each)


def spellings(secret: str) -> Iterator[str]:
    """Yield a secret, and it as base64 and JSON write it; of base64, what it stands for.

    `user:password`, which Docker's and HTTP's base64 is of, gives the password too.
    """
    yield secret
    yield base64.b64encode(secret.encode(errors="replace")).decode()
    yield json.dumps(secret)[1:-1]
    try:
        plain = base64.b64decode(secret, validate=True).decode()
    except (binascii.Error, ValueError):
        return
    name, colon, password = plain.partition(":")
    if colon and name.isprintable() and password:
        yield plain
        yield password
