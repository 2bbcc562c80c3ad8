"""What of `xsp-bgp status` is a measurement. Pure."""

from collections.abc import Iterator

from bgp.states import State
from runtime.gauge import Document, Gauge, one_of

STATES = (*State, "restarting")  # the last is the supervisor's, between two ExaBGPs


def gauges(document: Document) -> Iterator[Gauge]:
    """The gauges of one status document."""
    yield from one_of("state", "1 for the state of the announcement", "state", document["state"], STATES)
    holder = document["lease"]["holder"]
    yield Gauge("lease_held", "1 if an xsp-ha renews the lease", holder is not None)
    for row in document["neighbours"]:
        neighbour = {"neighbour": row["address"]}
        up = row["state"] == "established"
        yield Gauge("session_established", "1 if the BGP session is established", up, neighbour)
        if row["since_s"] is not None:
            yield Gauge("session_state_seconds", "how long the session's state has lasted", row["since_s"], neighbour)
        routes = len(row["sent"])
        yield Gauge("routes_sent", "routes that the neighbour was sent in its present session", routes, neighbour)
    for row in document["bfd"] or ():
        yield Gauge(
            "bfd_up", "1 if BFD says that the neighbour lives", row["state"] == "up", {"neighbour": row["address"]}
        )
