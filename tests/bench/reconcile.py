"""reconcile: a new process finds 100,000 customers in the kernel, all right; and again after half the routes are gone.

Nothing that is right may be touched: neither does the driver send a change, nor does the kernel announce one.
"""

import socket
import time
from collections.abc import Mapping

from dataplane.entry import ForwardingEntry
from dataplane.netlink import NetlinkSocket
from dataplane.numbers import HOME_AGENT_PROTOCOL, NETWORK_METRIC
from dataplane.rtnetlink import Route, delete_route
from tests.bench.loaded import LoadedSite, entries, loaded_site, require
from tests.bench.population import CUSTOMERS, prefix
from tests.bench.result import Result

RUNS = 3
TARGET_S = 8.0
FLUSHED_NETWORKS = 32_768
SOL_NETLINK, ADD_MEMBERSHIP, NETFILTER = 270, 1, 12  # linux/netlink.h
ANNOUNCED = {socket.NETLINK_ROUTE: (11, 19, 32), NETFILTER: (7,)}  # IPv6 routes and rules, nexthops; nftables


def run() -> Result:
    """Each run is a driver that knows nothing; after the last one routes are flushed."""
    wanted = entries(range(CUSTOMERS))
    samples, touched = [], 0
    with loaded_site(CUSTOMERS) as site:
        for _ in range(RUNS):
            took_s, changes = _again(site, wanted)
            samples.append(took_s)
            touched += changes
        site.inside(flush)
        repair_s, changes = _again(site, wanted)
        whole = site.inside(site.plane.read) == wanted
    notes = (
        f"messages about what is right: {touched}",
        f"{FLUSHED_NETWORKS} routes flushed: repaired in {repair_s:.1f} s with {changes} messages",
    )
    holds = touched == 0 and whole and changes == FLUSHED_NETWORKS
    return Result("reconcile", samples, "s", TARGET_S, at_least=False, notes=notes, holds=holds)


def flush() -> None:
    """Somebody removes the routes to the networks of the first so many customers; call it inside."""
    somebody = NetlinkSocket(socket.NETLINK_ROUTE)
    routes = (Route(prefix(one), HOME_AGENT_PROTOCOL, metric=NETWORK_METRIC) for one in range(FLUSHED_NETWORKS))
    somebody.settle(list(map(delete_route, routes)), "flushing routes")
    somebody.close()


def _again(site: LoadedSite, wanted: Mapping[bytes, ForwardingEntry]) -> tuple[float, int]:
    """Seconds, and how many changes were sent or announced, whichever is more."""
    plane = site.plane = site.inside(site.another)

    def reconcile() -> tuple[float, int]:
        listeners = [_listen(family, groups) for family, groups in ANNOUNCED.items()]
        sent, began = plane.counters()["kernel_changes_sent"], time.perf_counter()
        require(plane.reconcile(wanted))
        took_s = time.perf_counter() - began
        return took_s, max(plane.counters()["kernel_changes_sent"] - sent, sum(map(_heard, listeners)))

    return site.inside(reconcile)


def _listen(family: int, groups: tuple[int, ...]) -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
    listener.bind((0, 0))
    listener.setblocking(False)
    for group in groups:
        listener.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    return listener


def _heard(listener: socket.socket) -> int:
    """How many announcements wait; one more if some were lost."""
    heard = 0
    with listener:
        while True:
            try:
                listener.recv(1 << 16)
            except BlockingIOError:
                return heard
            except OSError:
                pass  # ENOBUFS: announcements were lost
            heard += 1
