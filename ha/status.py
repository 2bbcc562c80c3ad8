"""The home agent's status document: what the kernel and the neighbours report, beside what was wanted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from ipaddress import IPv6Address
from typing import Any

from dataplane.entry import ForwardingEntry
from ha.config import Config
from ha.home_agent import HomeAgent
from ha.prefix import address_text, prefix_text
from ha.readiness import Mode
from ha.record import Record
from ha.serving import NO_ANSWER, Serving
from runtime import status

BINDINGS_SHOWN = 100  # any other customer's by name: `xsp-ha status HOME_ADDRESS`


@dataclass(frozen=True, slots=True)
class Dumped:
    """What the kernel holds of customers, by its own dump: how many, and of how many something else than we believe.

    `entries`: of those `shown`, as far as they have one.
    """

    customers: int
    different: int
    shown: Sequence[bytes]
    entries: Mapping[bytes, ForwardingEntry]


def shown(agent: HomeAgent, asked: object = None) -> list[bytes]:
    """The home addresses whose bindings a status tells: the first of all, or the one that is `asked` for, as text.

    Raises: ValueError, with a sentence, if that is no customer's.
    """
    if asked is None:
        return nsmallest(BINDINGS_SHOWN, agent.cache.records)
    try:
        home_address = IPv6Address(str(asked)).packed
    except ValueError as error:
        raise ValueError(f"{asked} is no home address") from error
    if home_address not in agent.table.customers and home_address not in agent.cache.records:
        raise ValueError(f"{asked} is no customer's home address here")
    return [home_address]


def dumped(
    present: Mapping[bytes, ForwardingEntry], installed: Mapping[bytes, ForwardingEntry], shown: Sequence[bytes]
) -> Dumped:
    """A dump beside what we believe to be installed. With 100,000 customers it takes long: not in a turn of a loop."""
    different = sum(installed.get(home) != present.get(home) for home in installed.keys() | present.keys())
    return Dumped(len(present), different, shown, {home: present[home] for home in shown if home in present})


def status_document(
    config: Config,
    agent: HomeAgent,
    present: Dumped | None,
    connected: dict[str, bool],
    credentials: Mapping[str, Any],
    counters: dict[str, int],
    troubles: Iterable[str],
    history: Iterable[Mapping[str, Any]],
    narrow_lines: list[dict[str, Any]],
    now: float,
) -> dict[str, Any]:
    """The document of `xsp-ha status`.

    Healthy means that this site may be announced, and is or is drained on purpose. `present` is the kernel's dump; None
    makes the brief document, without what rests on it. `troubles`: what is wrong besides. `history`: what was wanted
    before, over restarts. `narrow_lines`: of customers; they say nothing against this site.
    """
    serving = agent.serving
    unheard = _unheard(serving)
    reasons = [*serving.decision.reasons, *unheard, *troubles]
    return status.document(
        program="xsp-ha",
        instance=config.instance,
        state=serving.state,
        since_s=now - serving.decided_at,
        reasons=reasons,
        counters=counters,
        healthy=(serving.state == "ANNOUNCED" and not unheard) or serving.wish.mode is not Mode.SERVE,
        sections={
            "lease": {"wanted": serving.decision.wanted, "state": serving.lease_state, "sessions": serving.sessions_up},
            "customer_table": {"version": agent.table.version, "customers": len(agent.table.customers)},
            "cache": cache(agent, present),
            "operator": {"mode": serving.wish.mode, "by": serving.wish.by, "why": serving.wish.why},
            "load": {"share": round(serving.load, 3), "prepending": serving.decision.prepend},
            "history": list(history),
            "revocations": [address_text(home) for home in sorted(agent.state.revocations)],
            "narrow_lines": narrow_lines,
            "credentials": dict(credentials),
            "peers": peers(agent, connected, now),
            **({"bindings": _bindings(agent, present, now)} if present is not None else {}),
        },
    )


def _unheard(serving: Serving) -> list[str]:
    """Why our neighbours do not hear what we wish, as far as the bridge's last answer says."""
    if serving.decision.starting or serving.lease_state in NO_ANSWER:
        return []
    found = []
    if not serving.sessions_up:
        found.append("no BGP session is established: see xsp-bgp status")
    if serving.lease_state == "held":
        found.append("held back after failures, depreferenced meanwhile: see xsp-bgp status")
    return found


def cache(agent: HomeAgent, present: Dumped | None) -> dict[str, int]:
    """How many customers are bound here. `shown` if that is not all: nobody shall take the first ones for every one."""
    found = {"records": len(agent.cache.records), "wanted": len(agent.cache.installed)}
    if present is not None:
        found |= {"in_kernel": present.customers, "different": present.different}
        if (some := sum(home in agent.cache.records for home in present.shown)) < found["records"]:
            found["shown"] = some
    return found


def _bindings(agent: HomeAgent, present: Dumped, now: float) -> list[dict[str, Any]]:
    known = [record for home in present.shown if (record := agent.cache.records.get(home)) is not None]
    return [_binding(record, present.entries.get(record.home_address), agent, now) for record in known]


def peers(agent: HomeAgent, connected: dict[str, bool], now: float) -> list[dict[str, Any]]:
    """What is known of the other sites."""
    return [_peer(site, agent, connected, now) for site in sorted(agent.serving.seen)]


def _peer(site: str, agent: HomeAgent, connected: dict[str, bool], now: float) -> dict[str, Any]:
    peer, seen = agent.replication.peers.get(site), agent.serving.seen[site]
    rtt_s = agent.replication.awaiting.rtt_s(site)
    return {
        "site": site,
        "connected": connected.get(site),  # None: heard by way of a reflector
        "heard_s_ago": None if seen is None else round(now - seen.heard_at, 3),
        "announcing": None if seen is None else seen.announcing,
        "clock_ahead_s": None if seen is None else round(seen.clock_ahead_s, 3),
        "load": None if seen is None else round(seen.load, 3),
        "complete": None if peer is None else peer.complete,
        "buckets_differing": None if peer is None else agent.replication.repair.found(site),
        "rtt_ms": None if rtt_s is None else round(rtt_s * 1000, 1),
    }


def _binding(record: Record, entry: ForwardingEntry | None, agent: HomeAgent, now: float) -> dict[str, Any]:
    customer = agent.table.customers.get(record.home_address)
    in_kernel = {path.bid: path.care_of for path in entry.paths} if entry else {}
    return {
        "home_address": address_text(record.home_address),
        "customer": customer.name if customer else None,
        "sequence": record.sequence.value,
        "prefixes": [prefix_text(prefix) for prefix in entry.prefixes] if entry else [],
        "care_of": [
            {
                "bid": bid,
                "care_of": address_text(cell.care_of or bytes(16)),
                "lifetime_left_s": round(cell.expires_at - now),
                "verified": cell.verified,
                "in_kernel": in_kernel.get(bid) == cell.care_of,
            }
            for bid, cell in sorted(record.live(now).items())
        ],
    }
