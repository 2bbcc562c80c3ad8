"""A seed's world before anything happens: who is there, and the list of deeds. Pure; the same seed, the same values.

A deed is a fault (site, line between sites, clock, kernel, operator, office, datagrams) or an event in a router's life
(a line lost, regained, renumbered), which is no fault but what all this is for.
"""

import random
from dataclasses import dataclass

WARM_UP_S = 8.0
MORE_S = 90.0  # lines go on for so long at most if by then there were too few Binding Updates
UPDATES_WANTED = 540  # Binding Updates: refreshes and what lines do; when there were enough, lines do less
UPDATES_A_LIFE = 0.5  # a router out of service, or with all lines down, says nothing


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happens: at what second of the world, what, to whom, for how long, and a number that it needs."""

    at: float
    kind: str
    who: int = 0
    other: int = 0
    for_s: float = 0.0
    amount: float = 0.0

    @property
    def is_fault(self) -> bool:
        """Something that should not happen, as against the life of a router."""
        return self.kind not in LIFE

    def __str__(self) -> str:
        lasting = f" for {self.for_s:.2f} s" if self.for_s else ""
        return f"{self.at:8.3f}  {self.kind} {self.who} {self.other} {self.amount:g}{lasting}"


LIFE = ("lose", "renumber")
# Kind of fault -> how often, and how long it lasts at least and at most.
FAULTS: dict[str, tuple[float, float, float]] = {
    "cut": (5, 0.05, 8.0),
    "part": (2, 0.5, 10.0),
    "reset": (4, 0.0, 0.0),
    "kill": (5, 0.1, 6.0),
    "power": (2, 1.0, 8.0),
    "wipe": (2, 1.0, 8.0),
    "freeze": (4, 0.1, 7.0),
    "bridge": (1, 0.0, 0.0),
    "egress": (1, 0.2, 5.0),
    "refuse": (3, 0.2, 5.0),
    "slow": (3, 0.5, 5.0),
    "clock": (3, 1.0, 10.0),
    "tide": (2, 2.0, 10.0),
    "watch": (3, 1.0, 10.0),
    "revoke": (2, 0.0, 0.0),
    "drain": (2, 1.0, 8.0),
    "prefer": (1, 1.0, 8.0),
    "suspend": (1, 1.0, 8.0),
    "loss": (3, 0.3, 4.0),
    "crash": (3, 0.1, 4.0),
    "vanish": (0.3, 0.0, 0.0),
    "amnesia": (1, 0.1, 4.0),
    "stop": (1, 2.5, 5.0),
    "limit": (2, 2.0, 12.0),
    "hush": (1, 5.5, 8.0),
}
OF_ROUTERS = ("watch", "revoke", "suspend", "crash", "amnesia", "vanish", "stop", "limit")
OF_MACHINES = ("cut", "part", "reset", "kill", "power", "wipe", "freeze", "clock")  # reflectors too
# What a router is, and how often. usual: several lines under BIDs of their own; plain: its customer may have no BIDs;
# foreign: it signs nothing and has no clock, and its table says where its lines are; roaming: a line that comes back
# has another BID than before, and others are left that can say so at once: what they leave behind are tombstones.
MANNERS = {"usual": 6, "plain": 1, "foreign": 1, "foreign plain": 0.5, "roaming": 2}
LONG_S = 60  # the lifetime that some ask for: longer than any lock-out may last
WRONG_FOR_LONG_S = (20.0, 45.0)  # some clocks are, at one site: longer than a router may be locked out
SKEWS_S = (1.0, -1.0, 6.0, -6.0, 86400.0, 86400.0, -86400.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Sizes and deeds. Deeds begin before `trouble_s`.

    Of each router: how many `lines`, its `manners`, and the lifetime it asks for.

    `sites`: home agents; `hubs`: reflectors that are none; `reflecting`: so many home agents reflect as well. With
    neither, a full mesh. `across`: pairs of clients that have streams all the same.
    """

    seed: int
    trouble_s: float
    sites: int
    hubs: int
    reflecting: int
    across: frozenset[frozenset[int]]
    routers: int
    lines: tuple[int, ...]
    manners: tuple[str, ...]
    lifetimes_s: tuple[int, ...]
    isps: int
    acknowledge: str
    wire_s: float
    jitter_s: float
    convergence_s: float
    loss: float
    deeds: tuple[Deed, ...]


def scenario(seed: int) -> Scenario:
    """The world of a seed."""
    draw = random.Random(f"scenario {seed}")
    sites = draw.choice((2, 2, 3, 3, 3, 3, 3, 4, 5))
    routers = draw.choice((3, 5, 6, 7, 8, 8, 10, 12, 15, 20))
    usual_s = draw.choice((12, 16, 20, 24))
    lifetimes_s = tuple(LONG_S if draw.random() < 0.15 else usual_s for _ in range(routers))
    manners = tuple(draw.choices(list(MANNERS), list(MANNERS.values()), k=routers))
    trouble_s = (
        105.0 if routers >= 6 else 140.0 if routers > 3 else 180.0
    )  # a router says three things a second at most
    lines = tuple(draw.choice((1, 2, 2, 2, 3)) if kind != "roaming" else 3 for kind in manners)
    hubs, reflecting = draw.choice(((0, 0), (0, 0), (0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1)))
    across: frozenset[frozenset[int]] = frozenset()
    if draw.random() < 0.2:
        across = frozenset({frozenset(draw.sample(range(sites), 2))})
    return Scenario(
        seed=seed,
        trouble_s=trouble_s,
        sites=sites,
        hubs=hubs,
        reflecting=reflecting,
        across=across,
        routers=routers,
        lines=lines,
        isps=draw.choice((2, 3, 4)),
        manners=manners,
        lifetimes_s=lifetimes_s,
        acknowledge=draw.choice(("any", "any", "any", "any", "all", "local")),
        wire_s=draw.choice((0.0005, 0.01, 0.04, 0.08)),
        jitter_s=draw.choice((0.0, 0.002, 0.02)),
        convergence_s=draw.choice((0.05, 0.5, 2.0)),
        loss=draw.choice((0.0, 0.01, 0.05)),
        deeds=tuple(
            sorted(
                (*_faults(draw, sites, hubs, routers, trouble_s), *_lives(draw, lines, lifetimes_s, trouble_s)),
                key=_when,
            )
        ),
    )


def _when(deed: Deed) -> float:
    return deed.at


def _faults(draw: random.Random, sites: int, hubs: int, routers: int, trouble_s: float) -> list[Deed]:
    kinds = list(FAULTS)
    weights = [FAULTS[kind][0] for kind in kinds]
    found = []
    for _ in range(draw.randint(62, 76)):
        kind = draw.choices(kinds, weights)[0]
        _, least_s, most_s = FAULTS[kind]
        for_s = least_s + (most_s - least_s) * draw.random() ** 2
        if kind == "clock" and draw.random() < 0.3:
            for_s = draw.uniform(*WRONG_FOR_LONG_S)
        at = draw.uniform(WARM_UP_S, trouble_s)
        whose = routers if kind in OF_ROUTERS else sites + hubs if kind in OF_MACHINES else sites
        who = draw.randrange(whose)
        other = draw.randrange(routers if kind == "refuse" else sites + hubs if kind in OF_MACHINES else sites)
        if kind == "cut":  # from somebody else
            other = (who + 1 + draw.randrange(whose - 1)) % whose
        amount = draw.choice(SKEWS_S) if kind in ("clock", "watch", "tide") else draw.random()
        found.append(Deed(at, kind, who, other, for_s, amount))
    return found


def _lives(draw: random.Random, lines: tuple[int, ...], lifetimes_s: tuple[int, ...], trouble_s: float) -> list[Deed]:
    """So many that with the refreshes it comes to about `UPDATES_WANTED` Binding Updates."""
    refreshes = sum(trouble_s / (0.5 * lifetime_s) for lifetime_s in lifetimes_s)
    found = []
    for _ in range(max(60, int((UPDATES_WANTED - refreshes) / UPDATES_A_LIFE * (1 + MORE_S / trouble_s)))):
        who = draw.randrange(len(lines))
        kind = draw.choice(LIFE)
        at = draw.uniform(WARM_UP_S, trouble_s + MORE_S)
        for_s = 0.3 + 6.0 * draw.random() ** 3 if kind == "lose" else 0.0
        found.append(Deed(at, kind, who, draw.randrange(lines[who]) + 1, for_s))
    return found
