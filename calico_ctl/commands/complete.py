"""Print what the last word of an unfinished command line may become, one candidate a line.

Usage:
  calicoctl complete [<WORDS>...]

The completion scripts of the shells call this, as `calicoctl complete -- <words so far>`; the last
word is the one that is being typed, and may be empty. Names come from etcd and Docker; where those
do not answer at once, there are none.

Options:
  -h --help  Show this text.
"""

from collections.abc import Callable, Iterable, Sequence
from threading import Thread

from calico_ctl import grammar, usage, usage_text
from calico_ctl.commands import COMMANDS
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, ExitCode
from calico_ctl.grammar import Argument, Grammar, Option, Word
from calico_ctl.wiring import RealPlatform

SECONDS = 0.15
"""How long etcd or Docker may take: a person waits for the Tab key, 0.3 seconds with our start."""

_EVERYWHERE = ("--help", "--quiet")
_FORMS = ("table", "json", "yaml", "name")
_RULE_WORDS = (
    *("allow", "deny", "tcp", "udp", "icmp", "icmpv6", "type", "code"),
    *("from", "to", "tag", "cidr", "ports"),
)

_Question = Callable[[], Iterable[str]]


def run(argv: Sequence[str], platform: RealPlatform, console: Console) -> ExitCode:
    """Print the candidates."""
    words = usage.parse(__doc__, argv).texts("<WORDS>") or [""]
    for candidate in candidates(words, platform):
        console.result(candidate)
    return ExitCode.OK


def candidates(words: Sequence[str], platform: RealPlatform) -> list[str]:
    """Return what the last of some words may become, given those before it."""
    *done, begun = words
    done = [word for word in done if word != "--quiet"]
    if not done or done == ["help"]:
        options = () if done or not begun.startswith("-") else (*_EVERYWHERE, "--version")
        found: Iterable[str] = [*(name for name in COMMANDS if COMMANDS[name].summary), *options]
    else:
        found = _of_command(done, begun, platform)
    return [each for each in found if each.startswith(begun) and "\n" not in each]


def _of_command(done: Sequence[str], begun: str, platform: RealPlatform) -> Iterable[str]:
    try:
        allowed = grammar.read(usage_text.of(done[0]))
    except (KeyError, ModuleNotFoundError):
        return []
    scanned = grammar.scan(allowed, done)
    trouble = scanned.trouble
    if trouble is not None:
        if trouble.what == grammar.WANTS_VALUE and trouble.option and done[-1] == trouble.word:
            return _named(trouble.option.value, done, platform)
        return []
    if begun.startswith("--") and "=" in begun:
        return _of_value(allowed, begun.partition("=")[0], platform)
    states = grammar.begin(allowed)
    for word in scanned.words:
        states = grammar.follow(states, word)
    options = _options([pattern.node for pattern, _ in states], [each for each, _ in scanned.given])
    if begun.startswith("-") and "--" not in done:
        return [*options, *(_EVERYWHERE if states else ())]
    return _next_words([node for _, node in states], done, platform) or options


def _of_value(allowed: Grammar, name: str, platform: RealPlatform) -> Iterable[str]:
    meant = [option for option in allowed.option(name) if option.value]
    return [f"{name}={each}" for o in meant for each in _named(o.value, [name], platform)]


def _options(nodes: Iterable[grammar.Node], given: Sequence[Option]) -> list[str]:
    """Return the options that may still come: neither given nor excluded by one that is."""
    found: dict[str, None] = {}
    for node in nodes:
        barred = set(given) - set(grammar.repeatable(node))
        for branches in grammar.choices(node):
            choice = {option for branch in branches for option in grammar.options(branch)}
            barred |= choice if choice & set(given) else set()
        for option in grammar.options(node):
            if option not in barred and option.name not in _EVERYWHERE:
                takes_value = option.value and option.name.startswith("--")
                found[f"{option.name}=" if takes_value else option.name] = None
    return list(found)


def _next_words(
    nodes: Iterable[grammar.Node], done: Sequence[str], platform: RealPlatform
) -> list[str]:
    found: dict[str, None] = {}
    for leaf in dict.fromkeys(leaf for node in nodes for leaf in grammar.expected(node)):
        match leaf:
            case Word():
                found[leaf.text] = None
            case Argument():
                found |= dict.fromkeys(_named(leaf.name, done, platform))
    return list(found)


def _named(placeholder: str, done: Sequence[str], platform: RealPlatform) -> Iterable[str]:
    """Return the names that may stand for a placeholder of a usage text."""
    if placeholder == "<RULE>":
        placeholder = {"tag": "<TAG>", "cidr": "<CIDR>"}.get(done[-1], "<RULE>")
    if placeholder in _FIXED:
        return _FIXED[placeholder]
    prepare = _LIVE.get(placeholder)
    if prepare is None:
        return []
    try:
        return _in_time(prepare(platform))
    except CalicoError:
        # the environment does not say where etcd is
        return []


def _in_time(ask: _Question) -> list[str]:
    """Return what a question yields, or nothing if it fails or does not end in time."""
    found: list[str] = []

    def keep() -> None:
        try:
            found.extend(sorted(set(ask())))
        except Exception:  # noqa: BLE001 - whatever it is, a person at the Tab key cannot mend it
            found.clear()

    asking = Thread(target=keep, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return list(found)


# Each imports what it needs, and returns the question to be asked in time.


def _profiles(platform: RealPlatform) -> _Question:
    from calico_ctl.datastore import profiles

    store = platform.store
    return lambda: profiles.names(store)


def _tags(platform: RealPlatform) -> _Question:
    from calico_ctl.datastore import profiles

    store = platform.store
    return lambda: profiles.tags(store)


def _pools(platform: RealPlatform) -> _Question:
    from calico_ctl.datastore import pools

    store = platform.store
    return lambda: (str(pool.cidr) for pool in pools.all(store))


def _endpoints(part: str) -> Callable[[RealPlatform], _Question]:
    """Return what asks for one part of the keys of all endpoints."""

    def prepare(platform: RealPlatform) -> _Question:
        from calico_ctl.datastore import endpoints

        store = platform.store
        return lambda: (getattr(each.key, part) for each in endpoints.listed(store))

    return prepare


def _hosts(platform: RealPlatform) -> _Question:
    from calico_ctl.datastore import nodes

    store = platform.store
    return lambda: nodes.names(store)


def _containers(platform: RealPlatform) -> _Question:
    from calico_ctl.docker_api import container_names

    environment = platform.settings.docker
    return lambda: container_names.read(environment, SECONDS)


_FIXED = {
    "<FORM>": _FORMS,
    "<RULE>": _RULE_WORDS,
    "<DETACH>": ("true", "false"),
    "<SHELL>": ("sh", "fish"),
}
_LIVE: dict[str, Callable[[RealPlatform], _Question]] = {
    "<PROFILE>": _profiles,
    "<PROFILES>": _profiles,
    "<TAG>": _tags,
    "<CIDR>": _pools,
    "<CIDRS>": _pools,
    "<CONTAINER>": _containers,
    "<ENDPOINT>": _containers,
    "<ENDPOINT_ID>": _endpoints("id"),
    "<FROM>": _containers,
    "<TO>": _containers,
    "<WORKLOAD_ID>": _endpoints("workload"),
    "<ORCHESTRATOR_ID>": _endpoints("orchestrator"),
    "<HOSTNAME>": _hosts,
}
