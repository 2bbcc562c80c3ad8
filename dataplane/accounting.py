"""What each customer sent and was sent, by the kernel's own counters.

Theory of operation. The kernel counts per prefix (`ruleset.py`): inwards what the source check believed, outwards what
was put into a tunnel. A counter begins at the prefix's first packet and only grows, through changes of lines and
restarts of the daemon, until the prefix is nobody's any more or our nftables table is removed, as by a reboot: whoever
bills by it must take a smaller number as a new beginning. Octets are those of the packets inside. The kernel may have
merged several packets of a flow into one before it counted (GRO). Each site counts what passed there: a customer's
total is the sum over the sites.

Readings have a socket of their own, so that they may run in a thread beside the driver.
"""

from collections.abc import Iterable, Mapping

from dataplane.element import Kind, kind_of
from dataplane.entry import Prefix, Volume
from dataplane.nfnetlink import SetElements
from dataplane.ruleset import HOME_AGENT_TABLE, OUTER_OCTETS, kinds


def volumes(prefixes: Iterable[Prefix] | None = None) -> dict[Prefix, Volume]:
    """What was counted for each of `prefixes`, or for all that had packets. Raises: DataPlaneError.

    All of 100,000 customers is a dump of seconds; a few are asked for one by one.
    """
    sets = SetElements(HOME_AGENT_TABLE)
    try:
        present = kinds(sets.names())
        wanted: Mapping[Kind, list[bytes] | None] = dict.fromkeys(present)
        if prefixes is not None:
            wanted = {**_keys(prefixes, present)}
        found: dict[Prefix, Volume] = {}
        for kind, keys in wanted.items():
            for key, (packets, octets) in sets.counted(f"in{kind}", keys).items():
                found[kind.prefix(key)] = Volume(packets, octets - packets * OUTER_OCTETS)
            for key, (packets, octets) in sets.counted(f"out{kind}", keys).items():
                more = Volume(0, 0, packets, octets - packets * OUTER_OCTETS)
                found[kind.prefix(key)] = found.get(kind.prefix(key), Volume()).plus(more)
        return found
    finally:
        sets.close()


def forget(sets: SetElements, prefixes: Iterable[Prefix]) -> None:
    """Count anew for these: whoever has them next does not begin with another's packets. Raises: DataPlaneError."""
    for kind, keys in _keys(prefixes, kinds(sets.names())).items():
        for name in (f"in{kind}", f"out{kind}"):
            sets.remove(name, list(sets.counted(name, keys)))


def _keys(prefixes: Iterable[Prefix], present: set[Kind]) -> dict[Kind, list[bytes]]:
    keys: dict[Kind, list[bytes]] = {}
    for prefix in prefixes:
        if (kind := kind_of(prefix)) in present:
            keys.setdefault(kind, []).append(prefix.network[: kind.octets])
    return keys
