"""A network namespace of its own for a benchmark of the data plane, and the customers that are put into it."""

import ctypes
import gc
import multiprocessing
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

from dataplane.entry import Egress, ForwardingEntry, Path, Prefix, SitePlan
from dataplane.linux import LinuxHomeAgent
from tests.bench.population import care_of, home, prefix
from tests.ha.cast import HOME_AGENT, address

Answer = TypeVar("Answer")
AGGREGATE = Prefix(address("2001:db8:f000::"), 36)
SITE = SitePlan(HOME_AGENT, (AGGREGATE,), (Egress(address("2001:db8:a::1"), "isp"),))
BATCH = 500  # orders that one turn of a busy daemon's loop carries out
_CLONE_NEWNET = 0x40000000


def in_namespace(work: Callable[[], Answer]) -> Answer:
    """Call `work` in a process and a network namespace of its own, with an egress; both are gone afterwards."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), initializer=_enter) as process:
        return process.submit(work).result()


def _enter() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare: benchmarks of the data plane need root")
    for words in (
        "link set lo up",
        "link add isp type veth peer name world",
        "link set isp up",
        "link set world up",
        "addr add 2001:db8:a::10/64 dev isp nodad",
    ):
        subprocess.run(["ip", *words.split()], check=True)


def entry(customer: int, moved: int = 0) -> ForwardingEntry:
    """What is forwarded for a customer: two lines, a home address, one network; `moved` changes the second line."""
    paths = Path(1, care_of(customer, 1)), Path(2, care_of(customer, 2 + moved))
    return ForwardingEntry(home(customer), (Prefix(*prefix(customer)),), paths)


def entries(customers: int) -> dict[bytes, ForwardingEntry]:
    """Those of the first `customers`; what stays need not be looked at again by the collector, as in the daemon."""
    made = {home(one): entry(one) for one in range(customers)}
    gc.collect()
    gc.freeze()
    return made


def prepared() -> LinuxHomeAgent:
    """A data plane without customers, as a daemon has it after start-up."""
    plane = LinuxHomeAgent()
    plane.prepare(SITE)
    plane.reconcile({})
    return plane


def batches(wanted: dict[bytes, ForwardingEntry], size: int = BATCH) -> Iterator[dict[bytes, ForwardingEntry]]:
    """`wanted` in pieces."""
    rest: Iterable[tuple[bytes, ForwardingEntry]] = iter(wanted.items())
    while piece := dict(islice(rest, size)):
        yield piece
