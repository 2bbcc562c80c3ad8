"""forward-one, forward-many: what a packet costs a home agent with everything on, against plain forwarding.

A ratio of 1 is a plain router. Both directions count alike: as many packets to customers as from them. A packet's cost
is the processor time of the thread that receives, forwards and sends it (see `forwarding.py`), not the time on the
clock, so that neighbours on the machine do not count; what they cost in caches remains, hence short turns, plain and
tunnelled one after the other, and of each the quickest quarter. To generate a packet costs about 80 ns of all these.
Then each feature is switched off in the kernel and measured again.
"""

from ipaddress import IPv6Address
from statistics import mean, median

from dataplane.tunnel_end import tunnel_end
from tests.bench.forwarding import WAYS, Ground, ground
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result
from tests.ha.cast import HOME_AGENT

ROUNDS = 5
TURNS, PACKETS = 8, 20_000
_TO_END = f"ip6 daddr set {IPv6Address(tunnel_end(HOME_AGENT, 6))} accept"
# What is switched off, one after the other, by nft; the source check last, for the others hang on its rules. What sends
# packets to the tunnel's end stays, for without it there is no decapsulation.
FEATURES = {
    "hop limit of its own": "flush chain ip6 xsp_ha sent6; add rule ip6 xsp_ha sent6 goto counted6",
    "fragments put together": "delete chain ip6 xsp_ha reassembly; delete chain ip6 xsp_ha apart",
    "counters of each customer, received": "delete chain ip6 xsp_ha postrouting",
    "counters of each customer, sent": f"flush chain ip6 xsp_ha in56; add rule ip6 xsp_ha in56 {_TO_END}",
    "closed destinations": "flush chain ip6 xsp_ha inside6; add rule ip6 xsp_ha inside6 goto tunnelled6",
    "source check and the rest of nftables": "flush chain ip6 xsp_ha prerouting; "
    f"add rule ip6 xsp_ha prerouting ip6 nexthdr 41 {_TO_END}",
}
Costs = dict[tuple[str, str], float]


def run_one() -> Result:
    """One customer with two lines."""
    return _run("forward-one", 1, 0.45)


def run_many() -> Result:
    """So many customers, each packet of one taken at random."""
    return _run("forward-many", CUSTOMERS, 0.40)


def _run(name: str, customers: int, target: float) -> Result:
    with ground(customers) as place:
        for router in ("plain", "ha"):
            for way in WAYS:
                place.measure(router, way, 5 * customers)  # counters have their elements, caches are full
        rounds = [costs(place) for _ in range(ROUNDS)]
        ratios = [_both("plain", one) / _both("ha", one) for one in rounds]
        notes = [_line(way, rounds[-1], way) for way in WAYS]
        notes += _each_feature(place, rounds[-1])
    ratio = median(ratios)
    return Result(name, ratios, "of plain", target, ratio_to="plain forwarding", ratio=ratio, notes=tuple(notes))


def costs(place: Ground) -> Costs:
    """Nanoseconds a packet by router and way."""
    taken: dict[tuple[str, str], list[float]] = {(router, way): [] for way in WAYS for router in ("plain", "ha")}
    for _ in range(TURNS):
        for (router, way), ns in taken.items():
            ns.append(place.measure(router, way, PACKETS))
    return {which: mean(sorted(ns)[: TURNS // 4]) for which, ns in taken.items()}


def _each_feature(place: Ground, full: Costs) -> list[str]:
    """What each costs, in packets of the plain router: that is what two measurements have in common."""
    notes, before = [], full
    for name, script in FEATURES.items():
        place.site.net.run("ha", "nft", "-f", "-", stdin=script.replace("; ", "\n"))
        after = costs(place)
        saved = [_in_plain(before, way) - _in_plain(after, way) for way in WAYS]
        notes.append(f"{name} costs {saved[0]:.2f} plain packets to customers, {saved[1]:.2f} from them")
        before = after
    return [*notes, *(_line(f"tunnels alone, {way}", before, way) for way in WAYS)]


def _in_plain(ns: Costs, way: str) -> float:
    return ns["ha", way] / ns["plain", way]


def _both(router: str, ns: Costs) -> float:
    return sum(ns[router, way] for way in WAYS)


def _line(name: str, ns: Costs, way: str) -> str:
    plain, ours = ns["plain", way], ns["ha", way]
    return f"{name}: {ours:.0f} ns a packet, plain {plain:.0f} ns, {plain / ours:.2f} of plain"
