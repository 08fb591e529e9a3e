"""Say whether a packet may pass, and by which rule.

Usage:
  calicoctl explain <FROM> <TO> [<PROTOCOL> [<PORT>]] [--src-port=<PORT>]
                    [--icmp-type=<TYPE> [--icmp-code=<CODE>]]
                    [--what-if] [(-f <FILE>)...] [--output=<FORM>]

Arguments:
  <FROM>, <TO>  An endpoint: its id, one of its addresses, its interface on the host, a container
                of this host by its name, a container's id, or the beginning of an id. Or a host by
                its name. Or any other address: then it is somebody's outside.
  <PROTOCOL>    tcp, udp, icmp, icmpv6, sctp, udplite or a number; icmp is a ping, of the family
                that both ends have. Without it: tcp, udp and icmp.
  <PORT>        The port at <TO>. Without it: all of them, those together for which it is the same.

The answer is about the first packet of a connection, and computed from what etcd holds, as the
policy agents do. All that follows belongs to the connection and passes, in both directions. What
other firewalls do, and whether anything listens there, is not known here.

Options:
  -f <FILE>           Answer as if `calicoctl apply` had applied this file, which it does not: a
                      file, a directory, or - for the standard input.
  --what-if           Say that it is meant so; goes with -f.
  --src-port=<PORT>   The port at <FROM>; without it 50000.
  --icmp-type=<TYPE>  The type of the ICMP message; without it an echo request.
  --icmp-code=<CODE>  Its code; without it 0.
  --output=<FORM>     How to answer: table, json, yaml, or name: just allowed or denied.
  -h --help           Show this text.

The exit code is 0 if all that was asked about is allowed, and 1 if some of it is denied; after an
error it is 1 too, and nothing is on stdout.

Examples:
  calicoctl explain client web tcp 80
  calicoctl explain 192.168.1.2 192.168.1.1
  calicoctl explain 203.0.113.7 web udp 53 --src-port=53
  calicoctl explain client 192.168.1.1 icmp --icmp-type=13
  calicoctl explain client web tcp 80 --what-if -f web.yaml
  calicoctl explain client web tcp 80 --output=json
"""

from collections.abc import Iterator, Sequence

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Listing
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode, UsageError
from calico_ctl.model import rule_json, rule_text
from calico_ctl.model.rule import Ports
from calico_ctl.policy import question
from calico_ctl.policy.explain import End, Membership, Stage, Views
from calico_ctl.policy.question import Answer, Question
from calico_ctl.policy.rules_asked import Unmatched, protocol_name
from calico_ctl.usage import Words
from calico_ctl.workload import ends, in_force, manifest_files
from calico_ctl.workload.platform import Platform

_SUMMARY = ("Protocol", "Ports", "Answer", "Because")
_RULES_SHOWN = 12
_Item = dict[str, object]


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Answer the question; FAILED if some of what was asked about is denied."""
    words = usage.parse(__doc__, argv)
    form, asked = output.form(words), _question(words)
    known = _known(words, platform, console)
    views = Views(known)
    parties = [ends.find(platform, views, known, words.text(each)) for each in ("<FROM>", "<TO>")]
    source, target = ends.choose(parties[0], parties[1], asked.family)
    answers = question.answers(views, asked, source, target)
    for note in _notes(views, answers):
        console.say(f"note: {note}")
    if not _files(words):
        hosts = [stage.hostname for each in answers for stage in each.stages]
        for doubt in in_force.doubts(platform.store, known, hosts):
            console.say(f"warning: {doubt}")
    verdicts = ["allowed" if each.allowed else "denied" for each in answers]
    listing = Listing("explanation", [_item(each) for each in answers], verdicts)
    output.show(console, form, listing, lambda: _show(answers, console))
    return ExitCode.OK if all(each.allowed for each in answers) else ExitCode.FAILED


def _question(words: Words) -> Question:
    asked = question.parse(
        words.optional("<PROTOCOL>"), words.optional("<PORT>"), words.optional("--src-port")
    )
    return question.with_icmp(asked, words.optional("--icmp-type"), words.optional("--icmp-code"))


def _files(words: Words) -> list[str]:
    files = words.texts("-f")
    if words.flag("--what-if") and not files:
        raise UsageError("error: --what-if needs a file", hint="say which: -f <FILE>")
    return files


def _known(words: Words, platform: Platform, console: Console) -> in_force.Entries:
    """Read what etcd holds, or would hold."""
    files = _files(words)
    if not files:
        return in_force.entries(platform.store)
    stated = manifest_files.read(files, lambda: console.read_input("YAML or JSON"))
    return in_force.applied(platform.store, in_force.entries(platform.store), stated)


def _notes(views: Views, answers: Sequence[Answer]) -> Iterator[str]:
    source, target = answers[0].source, answers[0].target
    pool = question.in_pool(views, source)
    if pool is not None:
        yield (
            f"no endpoint has {source.ip}, an address of pool {pool.cidr}: from a container it"
            " would be dropped as spoofed; the answer is about somebody outside"
        )
    if question.is_masqueraded(views, source, target):
        yield (
            f"{source.ip} is of a pool with nat-outgoing and {target.ip} of no pool: what arrives"
            " there has the address of the sender's host, and rules see that one"
        )
    if source.endpoint is None and target.endpoint is None:
        yield "neither end is an endpoint, so no policy of Calico's is asked"
    elif not any(each.stages for each in answers):
        yield "both ends are the same endpoint: its packets to itself do not leave it"


# -- for people -----------------------------------------------------------------------------------


def _show(answers: Sequence[Answer], console: Console) -> None:
    if len(answers) == 1:
        for line in _told(answers[0]):
            console.result(line)
        return
    console.result(f"From  {_end_text(answers[0].source)}")
    console.result(f"To    {_end_text(answers[0].target)}")
    rows = [
        (
            protocol_name(each.packet.protocol),
            _ports(each.ports),
            "allowed" if each.allowed else "denied",
            each.decided_by,
        )
        for each in answers
    ]
    console.table(_SUMMARY, rows)
    console.result("Ask about one port to see what would have to change.")


def _told(answer: Answer) -> Iterator[str]:
    yield f"{'allowed' if answer.allowed else 'denied'}: {_packet_text(answer)}"
    yield f"From  {_end_text(answer.source)}"
    yield f"To    {_end_text(answer.target)}"
    for stage in answer.stages:
        yield ""
        yield from _stage_text(stage)
    if answer.nobody:
        yield ""
        yield answer.nobody
    advice = [each.advice for each in answer.stages if each.advice]
    if advice:
        yield ""
        yield "To allow it:"
        yield from (f"  {each}" for each in advice)


def _packet_text(answer: Answer) -> str:
    packet = answer.packet
    protocol = protocol_name(packet.protocol)
    if packet.icmp_type is not None:
        protocol += f" type {packet.icmp_type} code {packet.icmp_code}"
    port = "" if answer.ports is None else f" port {_ports(answer.ports)}"
    return f"{protocol} from {packet.src} to {packet.dst}{port}"


def _end_text(end: End) -> str:
    if end.endpoint is not None:
        key = end.endpoint.key
        profiles = ", ".join(end.endpoint.profiles) or "none"
        return f"{end.ip}, endpoint {key.id} on {key.host} (profiles: {profiles})"
    return f"{end.ip}, host {end.hostname}" if end.hostname else f"{end.ip}, outside"


def _stage_text(stage: Stage) -> Iterator[str]:
    verdict = "allowed" if stage.allowed else "denied"
    yield f"{stage.direction} on {stage.hostname}: {verdict}, {stage.reason}"
    for each in stage.unmatched[:_RULES_SHOWN]:
        rule = rule_text.format_rule(each.rule)
        yield f"  {each.profile} {each.position}: {rule}"
        yield f"      no: {'; '.join(each.because)}"
    if (more := len(stage.unmatched) - _RULES_SHOWN) > 0:
        yield f"  and {more} more that do not match"
    if stage.rule is not None:
        yield f"  {stage.profile} {stage.position}: {rule_text.format_rule(stage.rule)}"
        yield "      yes"
    for member in stage.memberships:
        if member.through:
            profiles = ", ".join(member.through)
            yield f"  {member.ip} carries tag {member.tag} through profile {profiles}"


def _ports(ports: Ports | None) -> str:
    if ports is None:
        return ""
    return rule_json.format_ports(ports)


# -- as data --------------------------------------------------------------------------------------


def _item(answer: Answer) -> _Item:
    packet, ports = answer.packet, answer.ports
    return {
        "allowed": answer.allowed,
        "because": answer.decided_by,
        "source": _end_item(answer.source),
        "destination": _end_item(answer.target),
        "protocol": protocol_name(packet.protocol),
        "source_port": packet.src_port,
        "first_port": None if ports is None else ports.first,
        "last_port": None if ports is None else ports.last,
        "icmp_type": packet.icmp_type,
        "icmp_code": packet.icmp_code,
        "asked": [_stage_item(each) for each in answer.stages],
    }


def _end_item(end: End) -> _Item:
    item: _Item = {"address": str(end.ip), "hostname": end.hostname or None, "endpoint": None}
    if end.endpoint is None:
        return item
    return (
        item
        | tables.endpoint_reference(end.endpoint)
        | {"interface": end.endpoint.name, "profiles": list(end.endpoint.profiles)}
    )


def _stage_item(stage: Stage) -> _Item:
    return {
        "hostname": stage.hostname,
        "endpoint": stage.endpoint.id,
        "direction": stage.direction.value,
        "allowed": stage.allowed,
        "why": stage.why.value,
        "reason": stage.reason,
        "profile": stage.profile or None,
        "position": stage.position or None,
        "rule": None if stage.rule is None else rule_text.format_rule(stage.rule),
        "not_matched": [_unmatched_item(each) for each in stage.unmatched],
        "tags": [_membership_item(each) for each in stage.memberships],
        "advice": stage.advice or None,
    }


def _unmatched_item(unmatched: Unmatched) -> _Item:
    return {
        "profile": unmatched.profile,
        "position": unmatched.position,
        "rule": rule_text.format_rule(unmatched.rule),
        "because": list(unmatched.because),
    }


def _membership_item(membership: Membership) -> _Item:
    return {
        "tag": membership.tag,
        "address": str(membership.ip),
        "carried": bool(membership.through),
        "profiles": list(membership.through),
    }
