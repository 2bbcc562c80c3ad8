"""A site's data plane in a namespace of its own, loaded with many customers: what the data plane's rows measure on.

isp -- ha, and a driver prepared in `ha`. Each customer has a home address, one MNP and two lines with a care-of
address each, hence four elements of the source check.
"""

import contextlib
import fcntl
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from dataplane.entry import Egress, ForwardingEntry, Path, Prefix, SitePlan
from dataplane.linux import LinuxHomeAgent
from ha.kernel import ORDERS_A_TURN
from runtime import collector
from tests.bench.population import care_of, home, moved_care_of, prefix
from tests.bench.process import LAB_LOCK
from tests.ha.cast import HOME_AGENT, address
from tests.netns import Net, namespaces

AGGREGATE = Prefix(address("2001:db8:f000::"), 36)
SITE = SitePlan(HOME_AGENT, (AGGREGATE,), (Egress(address("2001:db8:a::1"), "isp"),))
LINES = (1, 2)
PATIENCE_S = 600.0

Wanted = Mapping[bytes, ForwardingEntry | None]
Value = TypeVar("Value")


def entry(customer: int, move: int = 0) -> ForwardingEntry:
    """What is forwarded for a customer whose first line moved that often."""
    first = moved_care_of(customer, move)
    return ForwardingEntry(
        home(customer), (Prefix(*prefix(customer)),), (Path(1, first), Path(2, care_of(customer, 2)))
    )


def entries(customers: Sequence[int], move: int = 0) -> dict[bytes, ForwardingEntry]:
    """The entries of several customers."""
    return {home(one): entry(one, move) for one in customers}


class LoadedSite:
    """The namespace and the driver in it; all calls run in the namespace."""

    def __init__(self, net: Net, plan: SitePlan = SITE) -> None:
        self.net, self._plan = net, plan
        self.plane = self.inside(self.another)

    def another(self) -> LinuxHomeAgent:
        """A driver that knows nothing yet, as after a restart; call it inside."""
        plane = LinuxHomeAgent()
        plane.prepare(self._plan)
        return plane

    def inside(self, work: Callable[[], Value]) -> Value:
        """Call `work` in the namespace, the collector as quiet as the daemon's."""
        collector.quiet()
        return self.net.inside("ha", work, PATIENCE_S)

    def apply(self, wanted: Wanted) -> float:
        """Apply entries in batches like the daemon's; seconds. Raises: RuntimeError if one was refused."""
        return self.inside(lambda: apply(self.plane, wanted))


def apply(plane: LinuxHomeAgent, wanted: Wanted) -> float:
    """Apply entries in batches like the daemon's; seconds. Raises: RuntimeError if one was refused."""
    waiting = iter(wanted.items())
    began = time.perf_counter()
    while batch := dict(islice(waiting, ORDERS_A_TURN)):
        require(plane.apply(batch))
    return time.perf_counter() - began


def require(results: Mapping[bytes, str | None]) -> None:
    """Everybody is in. Raises: RuntimeError naming a reason."""
    if refused := [why for why in results.values() if why]:
        raise RuntimeError(f"{len(refused)} of {len(results)} customers were refused: {refused[0]}")


@contextlib.contextmanager
def loaded_site(customers: int = 0, plan: SitePlan = SITE) -> Iterator[LoadedSite]:
    """A prepared site with that many customers, alone on this machine; gone afterwards."""
    with open(LAB_LOCK, "w") as lock, namespaces() as net:
        fcntl.flock(lock, fcntl.LOCK_EX)
        net.add("ha", "isp")
        net.link("ha", "isp", "isp", "site")
        net.run("ha", "ip", "addr", "add", "2001:db8:a::10/64", "dev", "isp", "nodad")
        net.run("isp", "ip", "addr", "add", "2001:db8:a::1/64", "dev", "site", "nodad")
        made = LoadedSite(net, plan)
        made.apply(entries(range(customers)))
        try:
            yield made
        finally:
            gc.unfreeze()  # other rows see what they would alone
