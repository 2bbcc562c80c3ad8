"""What of `xsp-ha status` is a measurement. Pure. Works on the brief document too, which asks no kernel for a dump."""

from collections.abc import Iterator

from ha.readiness import ANNOUNCE, DEPREFERENCE, WITHDRAW, Mode
from ha.serving import NO_ANSWER
from runtime.gauge import Document, Gauge, one_of

STATES = ("INIT", "SYNCING", "READY", "ANNOUNCED", "DEPREFERENCED", "WITHDRAWN", "REFLECTING")


# Numbers of the data plane that stand among the counters of a status, but may become less.
_PRESENT = {
    "customers_installed": "customers whose forwarding is in the kernel",
    "nexthops_installed": "nexthop objects of customers in the kernel",
    "routes_installed": "routes of customers in the kernel",
    "check_elements": "elements of the source check in the kernel",
    "check_elements_leaving": "of these, those that wait to be taken out",
    "fragments_reassembled": "1 if the kernel puts tunnelled fragments together",
    "memory_available_bytes": "memory of the machine that is available",
}


def gauges(document: Document) -> Iterator[Gauge]:
    """The gauges of one status document."""
    yield from one_of("state", "1 for the state of this site", "state", document["state"], STATES)
    yield Gauge("records", "mobile routers of which something is known", document["cache"]["records"])
    if "lease" in document:  # a reflector alone has none, nor customers
        yield from _home_agent(document)
    yield from certificate(document["credentials"])
    for row in document["peers"]:
        yield from _peer(row)


def _home_agent(document: Document) -> Iterator[Gauge]:
    lease, wishes = document["lease"], (ANNOUNCE, DEPREFERENCE, WITHDRAW)
    yield from one_of("wanted", "1 for what is asked of xsp-bgp", "wanted", lease["wanted"], wishes)
    held = lease["state"] not in NO_ANSWER
    yield Gauge("lease_held", "1 if xsp-bgp takes what is asked of it; refused or not there otherwise", held)
    yield Gauge("bgp_sessions", "BGP sessions of xsp-bgp that are established", lease["sessions"])
    mode = document["operator"]["mode"]
    yield from one_of("operator_mode", "1 for what the operator wants of this site", "mode", mode, Mode)
    table = document["customer_table"]
    yield Gauge("customer_table_version", "version of the customer table in force", table["version"])
    yield Gauge("customers", "customers in the table", table["customers"])
    yield Gauge("forwarded", "customers whose forwarding the kernel has confirmed", document["cache"]["wanted"])
    yield Gauge("load_share", "share of the site's capacity in use, 0 if not measured", document["load"]["share"])
    for name, meaning in _PRESENT.items():
        if name in document["counters"]:
            yield Gauge(name, meaning, document["counters"][name])
    yield Gauge("narrow_lines", "lines of customers too narrow for a tunnel", len(document["narrow_lines"]))
    yield Gauge("prepending", "1 if the path is made longer because of the load", document["load"]["prepending"])


def certificate(section: Document) -> Iterator[Gauge]:
    """The gauges of the section `credentials`; none in plain TCP."""
    if "days_left" in section:
        yield Gauge("certificate_days_left", "whole days until this site's certificate is over", section["days_left"])
        yield Gauge("certificate_alarm", "1 if a new certificate is needed, soon or now", bool(section["alarm"]))


def _peer(row: Document) -> Iterator[Gauge]:
    site = {"site": row["site"]}
    if row["connected"] is not None:  # else it is heard by way of a reflector
        yield Gauge("peer_connected", "1 if the peer takes our changes", row["connected"], site)
        yield Gauge("peer_complete", "1 if we hold the peer's first full set of records", row["complete"], site)
        meaning = "buckets of records that its last digest had otherwise"
        yield Gauge("peer_buckets_differing", meaning, row["buckets_differing"], site)
    if row["heard_s_ago"] is not None:
        yield Gauge("peer_heard_seconds_ago", "how long ago the peer said HELLO", row["heard_s_ago"], site)
        yield Gauge("peer_announcing", "1 if the peer says it is announced", row["announcing"] == "announced", site)
        yield Gauge("peer_clock_ahead_seconds", "how far its clock is ahead of ours", row["clock_ahead_s"], site)
    if row["rtt_ms"] is not None:
        meaning = "from a change sent to its installation there"
        yield Gauge("peer_installed_after_seconds", meaning, row["rtt_ms"] / 1000, site)
