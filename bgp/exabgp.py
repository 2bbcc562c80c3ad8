"""The ExaBGP 5 dialect: a command to a line of text, a line from ExaBGP to a meaning. Pure text, no pipes.

Owns the wording of commands and the shapes of answers (measured with 5.0.15). Refuses to raise for anything ExaBGP
writes: what it cannot read is `Noise`. RFC 4271 4.3 (path attributes), RFC 1997 and RFC 8092 (communities).

    command                                     answer, one line each, then `done` or `error`
    neighbor X announce route P next-hop self ...  -
    neighbor X withdraw route P                 -
    version                                     exabgp 5.0.15
    show neighbor json                          [{"state": "up", "duration": 7, "peer": {"address": A}, ...}]
    show adj-rib out json                       {"peer": {"address": A}, "route": {"nlri": {"prefix": P, ...},
                                                 "attributes": {"med": N, "community": [C], ...}}}, a line for each

Between them, at any moment, events stand on lines of their own:
{"exabgp": VERSION, ..., "type": "state", "neighbor": {"address": {"peer": A, ...}, "state": "up|connected|down"}};
"down" with a "reason", such as "notification received (2,2)".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from bgp import notification
from bgp.events import (
    AskNeighbours,
    AskRoutes,
    AskVersion,
    Command,
    CommandAnswered,
    NeighbourChanged,
    Session,
)
from bgp.route import Announce, Prefix, Route, Terms, Withdraw

# RFC 4271 8.2.2 names the state that matters; ExaBGP's `connected` (TCP only) and `down` are none of its names.
_RFC_NAMES = {"up": "established"}

LOCAL_PREFERENCE = 100  # what ExaBGP sends in IBGP when told nothing, and most routers' default

MAX_REASON = 200  # of the end of a session, in characters
MAX_LINE_BYTES = 1024 * 1024  # what we are ready to hold of an unfinished line; sessions are some hundred bytes each


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of an answer: `done` or `error`."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A line that belongs to the answer of the command in flight."""

    text: str


@dataclass(frozen=True, slots=True)
class ShutdownBegun:
    """ExaBGP tells its children that it stops."""


@dataclass(frozen=True, slots=True)
class Noise:
    """An event we did not subscribe to, or a line that is none of the above."""


Line = Verdict | AnswerText | NeighbourChanged | ShutdownBegun | Noise


def command_line(command: Command, local_as: int, neighbours: Mapping[str, Terms]) -> str:
    """One command without its newline; plain ASCII, as ExaBGP restarts a child that writes anything else."""
    match command:
        case Announce(neighbour, route):
            return _announce(route, local_as, neighbours.get(neighbour) or Terms(neighbour))
        case Withdraw(neighbour, prefix):
            return f"neighbor {neighbour} withdraw route {prefix}"
        case AskVersion():
            return "version"
        case AskNeighbours():
            return "show neighbor json"
        case AskRoutes():
            return "show adj-rib out json"


def _announce(route: Route, local_as: int, terms: Terms) -> str:
    hop = _next_hop(route.prefix, terms) or " next-hop self"
    words = [f"neighbor {terms.neighbour} announce route {route.prefix}{hop}"]
    if route.med is not None:
        words.append(f"med {route.med}")
    if route.prepend and local_as:
        words.append(_less_preferred(route.prepend, local_as, terms))
    standard = [community for community in route.communities if community.count(":") == 1]
    large = [community for community in route.communities if community.count(":") == 2]
    if standard:
        words.append(f"community [ {' '.join(standard)} ]")
    if large:
        words.append(f"large-community [ {' '.join(large)} ]")
    return " ".join(words)


def _less_preferred(prepend: int, local_as: int, terms: Terms) -> str:
    """In IBGP our own AS in the path would be a loop (RFC 4271 9.1.2); the local preference says the same there."""
    if terms.autonomous_system == local_as:
        return f"local-preference {LOCAL_PREFERENCE - prepend}"
    # ExaBGP sends the list verbatim, without adding our own AS: so it holds that one too.
    return f"as-path [ {' '.join([str(local_as)] * (prepend + 1))} ]"


def _next_hop(prefix: Prefix, terms: Terms) -> str:
    """The explicit next hop that a prefix of the other family than the session's needs, with a blank before it."""
    if terms.next_hop is None or ip_address(terms.neighbour).version == prefix.version:
        return ""
    return f" next-hop {terms.next_hop}"


def read_line(text: str) -> Line:
    """What one line on our standard input means."""
    text = text.strip()
    if text == "done":
        return Verdict(True)
    if text == "error":
        return Verdict(False)
    if not text:
        return Noise()
    if not text.startswith("{"):
        return AnswerText(text)
    try:
        document = json.loads(text)
    except ValueError:
        return Noise()
    if not isinstance(document, dict) or "exabgp" not in document:
        return AnswerText(text)
    return _event(document)


def _event(document: dict[str, Any]) -> Line:
    if document.get("notification") == "shutdown":
        return ShutdownBegun()
    neighbour = document.get("neighbor")
    if document.get("type") != "state" or not isinstance(neighbour, dict):
        return Noise()
    addresses, state = neighbour.get("address"), neighbour.get("state")
    if not isinstance(addresses, dict) or not isinstance(state, str):
        return Noise()
    reason = notification.words(str(neighbour.get("reason") or ""))[:MAX_REASON]
    return NeighbourChanged(_address(addresses.get("peer")), _RFC_NAMES.get(state, state), reason)


def read_answer(command: Command | None, lines: list[str], accepted: bool) -> CommandAnswered:
    """The answer to `command`, read as far as it can be."""
    if accepted and isinstance(command, AskNeighbours):
        return CommandAnswered(accepted, sessions=_sessions(lines))
    if accepted and isinstance(command, AskRoutes):
        routes = _routes(lines)
        rib = routes and {neighbour: tuple(one.split(" ", 1)[0] for one in some) for neighbour, some in routes.items()}
        return CommandAnswered(accepted, rib=rib, routes=routes)
    return CommandAnswered(accepted)


def _sessions(lines: list[str]) -> tuple[Session, ...] | None:
    try:
        rows = json.loads("".join(lines))
        return tuple(
            Session(
                neighbour=_address(row["peer"]["address"]),
                # Its "state" is "down" in the first second of a session.
                state="established" if row.get("fsm") == "ESTABLISHED" else _RFC_NAMES.get(row["state"], row["state"]),
                since_s=float(row["duration"] or 0),
                local_as=int(row["local"]["as"] or 0),
                families=tuple(map(str, row["families"])) if "families" in row else None,
            )
            for row in rows
        )
    except (ValueError, TypeError, KeyError):
        return None


def _routes(lines: list[str]) -> dict[str, tuple[str, ...]] | None:
    """Neighbour -> its routes in words, each once."""
    found: dict[str, dict[str, str]] = {}
    try:
        for line in lines:
            document = json.loads(line)
            if "peer" not in document:  # an ExaBGP that an older supervisor started: no attributes, some lines repeat
                for neighbour, table in document.items():
                    prefixes = [str(route["prefix"]) for route in table["routes"]]
                    found.setdefault(_address(neighbour), {}).update(zip(prefixes, prefixes, strict=True))
                continue
            route = document["route"]
            prefix, attributes = str(route["nlri"]["prefix"]), dict(route["attributes"])
            told = " ".join([prefix, *_attributes(attributes)])
            found.setdefault(_address(document["peer"]["address"]), {})[prefix] = told
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return {neighbour: tuple(routes.values()) for neighbour, routes in found.items()}


def _attributes(attributes: Mapping[str, Any]) -> list[str]:
    """What an operator wants to see of them, in the words of `command_line`."""
    found = []
    if path := attributes.get("as-path"):
        found.append("as-path " + " ".join(str(one) for segment in path.values() for one in segment["value"]))
    found += [f"{name} {attributes[name]}" for name in ("med", "local-preference") if name in attributes]
    for name in ("community", "large-community"):
        if values := attributes.get(name):
            found.append(f"{name} {' '.join(sorted(map(str, values)))}")
    return found


def _address(text: object) -> str:
    try:
        return str(ip_address(str(text)))
    except ValueError:
        return str(text)
