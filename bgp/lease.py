"""Lines of the lease socket: renewals and questions in, answers out. Shared by the bridge (server) and its clients.

Owns the JSON of both directions and what a holder may ask for. Refuses routes that are not exactly one of this site's
aggregates: nothing longer ever leaves a site, whoever holds the lease.

    holder -> bridge    {"v":1,"seq":N,"wanted":"announce|depreference|withdraw","reason":S,"linger_ms":N,
                         "routes":[{"prefix":P,"communities":[S],"med":N|null,"prepend":N}]}
    bridge -> holder    {"v":1,"seq":N,"state":S,"sent":[P],"sessions":[{"neighbour":A,"state":S,"since_s":N}],
                         "mrai_s":N}
                        {"v":1,"seq":N,"error":S,"remedy":S}
    anyone -> bridge    {"v":1,"ask":"status"[,"after":N]}, {"v":1,"ask":"stop","linger_ms":N},
                        {"v":1,"ask":"others","said_ms_ago":N|null,"after":N}, {"v":1,"ask":"reload"},
                        all answered with the status

The last two are the supervisor's: what the speakers of other sites told it; and that bgp.toml has changed. `after`: the
history's last number that is known.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, TypeGuard

from bgp.errors import BgpError, MalformedLine
from bgp.events import LeaseRenewed, OthersHeard, Session, StopAsked, Wanted
from bgp.route import Prefix, Route

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
MAX_LINGER_MS = 24 * 3600 * 1000  # a day: longer than any maintenance, still an end
MAX_REASON = 200
MAX_AFTER = 2**53


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewal with the number its answer carries."""

    seq: int
    event: LeaseRenewed


@dataclass(frozen=True, slots=True)
class StatusAsked:
    """Somebody wants to know how the bridge is, without becoming the holder; its history after a number.

    `others`: whether another site is known to announce, if whoever asks knows.
    """

    after: int = 0
    others: OthersHeard | None = None


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """The neighbours are to be read anew from bgp.toml, and ExaBGP to describe its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bridge tells the holder after each renewal. `mrai_s`: the longest interval of its neighbours."""

    seq: int
    state: str
    sent: tuple[str, ...]
    sessions: tuple[Session, ...]
    mrai_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a renewal did not count."""

    seq: int
    error: str
    remedy: str


Request = Renewal | StatusAsked | StopAsked | ReloadAsked


def encode_renewal(renewal: Renewal) -> bytes:
    """One line of a holder."""
    event = renewal.event
    routes = [
        {
            "prefix": str(route.prefix),
            "communities": list(route.communities),
            "med": route.med,
            "prepend": route.prepend,
        }
        for route in event.routes
    ]
    return encode(
        {
            "v": VERSION,
            "seq": renewal.seq,
            "wanted": str(event.wanted),
            "reason": event.reason[:MAX_REASON],
            "linger_ms": event.linger_ms,
            "routes": routes,
        }
    )


def encode(document: dict[str, Any]) -> bytes:
    """One line of either side."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def session_document(session: Session) -> dict[str, Any]:
    """A session as the contract shows it."""
    return {"neighbour": session.neighbour, "state": session.state, "since_s": round(session.since_s, 3)}


def decode_request(line: bytes, aggregates: Collection[Prefix]) -> Request:
    """Read one line from a holder or the supervisor.

    Raises: MalformedLine, and nothing else.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedLine("the line is not JSON", "send one JSON object a line") from error
    if not isinstance(document, dict):
        raise MalformedLine("the line is not a JSON object", "send one JSON object a line")
    seq = document.get("seq", 0)
    seq = seq if _is_number(seq) else 0
    try:
        if document.get("v") != VERSION:
            raise BgpError(f"version {document.get('v')!r} is not spoken here", f"speak version {VERSION}")
        if "ask" in document:
            return _question(document)
        return Renewal(seq, _renewal(document, aggregates))
    except MalformedLine:
        raise
    except BgpError as error:
        raise MalformedLine(error.what, error.remedy, seq) from error


def _question(document: dict[str, Any]) -> StatusAsked | StopAsked | ReloadAsked:
    match document["ask"]:
        case "status":
            return StatusAsked(_number(document, "after", MAX_AFTER) if "after" in document else 0)
        case "others":
            ago = (
                None if document.get("said_ms_ago") is None else _number(document, "said_ms_ago", MAX_LINGER_MS) / 1000
            )
            return StatusAsked(_number(document, "after", MAX_AFTER), OthersHeard(ago))
        case "stop":
            return StopAsked(_number(document, "linger_ms", MAX_LINGER_MS))
        case "reload":
            return ReloadAsked()
    raise BgpError(f"unknown question {document['ask']!r}", "ask for status, others, stop or reload")


def _renewal(document: dict[str, Any], aggregates: Collection[Prefix]) -> LeaseRenewed:
    wanted = document.get("wanted")
    if not isinstance(wanted, str) or wanted not in set(Wanted):
        raise BgpError(f"wanted is {wanted!r}", f"use one of {', '.join(Wanted)}")
    reason = document.get("reason", "")
    if not isinstance(reason, str):
        raise BgpError("reason is not a text", "give the reason as a short text")
    routes = document.get("routes", [])
    if not isinstance(routes, list):
        raise BgpError("routes is not a list", "give the routes as a list of objects")
    parsed = tuple(_route(row, aggregates) for row in routes)
    if len({route.prefix for route in parsed}) != len(parsed):
        raise BgpError("a prefix stands twice in routes", "give every aggregate once")
    return LeaseRenewed(Wanted(wanted), reason[:MAX_REASON], _number(document, "linger_ms", MAX_LINGER_MS), parsed)


def _route(row: object, aggregates: Collection[Prefix]) -> Route:
    if not isinstance(row, dict) or not isinstance(row.get("prefix"), str):
        raise BgpError("a route has no prefix", 'write a route as {"prefix": "2001:db8:f000::/36"}')
    try:
        prefix = ip_network(row["prefix"])
    except ValueError as error:
        raise BgpError(f"{row['prefix']!r} is not a prefix", "write it without host bits") from error
    if prefix not in aggregates:
        raise BgpError(
            f"{prefix} is not an aggregate of this site", "add it to aggregates in bgp.toml, or drop the route"
        )
    communities = row.get("communities") or []
    if not isinstance(communities, list) or not all(isinstance(item, str) for item in communities):
        raise BgpError("communities is not a list of texts", 'write them as ["64500:1"]')
    med = None if row.get("med") is None else _number(row, "med", 2**32 - 1)
    prepend = _number(row, "prepend", 2**32 - 1) if "prepend" in row else 0
    return Route(prefix, tuple(communities), med, prepend)


def _number(document: dict[str, Any], name: str, limit: int) -> int:
    value = document.get(name)
    if not _is_number(value) or not 0 <= value <= limit:
        raise BgpError(f"{name} is {value!r}", f"use a whole number from 0 to {limit}")
    return value


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def decode_answer(line: bytes) -> Answer | Refusal:
    """Read one line from the bridge.

    Raises: MalformedLine, and nothing else.
    """
    try:
        document = json.loads(line)
        if "error" in document:
            return Refusal(int(document["seq"]), str(document["error"]), str(document["remedy"]))
        return Answer(
            seq=int(document["seq"]),
            state=str(document["state"]),
            sent=tuple(str(prefix) for prefix in document["sent"]),
            sessions=tuple(
                Session(str(row["neighbour"]), str(row["state"]), float(row["since_s"]), 0)
                for row in document["sessions"]
            ),
            mrai_s=float(document.get("mrai_s", 0)),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise MalformedLine("the bridge's answer is not understood", "run xsp-ha and xsp-bgp of one version") from error
