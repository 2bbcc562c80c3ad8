"""What of `xsp-mr status` is a measurement. Pure."""

from collections.abc import Iterator

from runtime.gauge import Document, Gauge, one_of

STATES = ("starting", "searching", "registering", "registered", "degraded", "refused", "stopping")


def gauges(document: Document) -> Iterator[Gauge]:
    """The gauges of one status document."""
    yield from one_of("state", "1 for the state of the mobile router", "state", document["state"], STATES)
    for row in document["uplinks"]:
        line = {"uplink": row["name"], "bid": str(row["bid"])}
        yield Gauge("line_registered", "1 if the home agent holds this line's binding", row["registered"], line)
        yield Gauge("line_verified", "1 if the home agent knows that we hear on this line", row["verified"], line)
        if row["lifetime_left_s"] is not None:
            meaning = "what is left of the binding's lifetime"
            yield Gauge("line_lifetime_left_seconds", meaning, row["lifetime_left_s"], line)
