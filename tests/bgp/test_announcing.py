"""Random lives of three sites: what must hold of their announcements, whatever happens, at every instant.

Never announced as preferred without a lease; beyond its linger only depreferenced, only for the orphan hold, and only
while no other site is known to announce; never with a hard reason, whichever; never withdrawn before the linger for any
other; never all sites withdrawn for soft reasons or for want of home agents; a drain ends as soon as somebody else
announces, whatever else goes on; and in the end all is as it was. What chance hardly ever finds, as it takes a tenth of
a second and a healthy start, is gone through moment by moment.
"""

import random
from collections.abc import Callable
from itertools import combinations

import pytest

from bgp.fellows import VOUCH_S
from bgp.route import GRACEFUL_SHUTDOWN
from bgp.states import State
from ha.readiness import Mode
from tests.bgp.announcing import HARD, HOLD_DOWN_MAX_S, ORPHAN_HOLD_S, SITES, START_S, STEP_S, TICK_S, Site, World

EVENTS = 60
LEASE_S, LINGER_MIN_S = 0.3, 1.0  # what operators are promised, not what the programs say
REACTION_S = TICK_S + 2 * STEP_S
KNOWN_S = 1.5  # until word of another site has come and counts: 0.6 s after a lease's end, 0.2 s pauses, 0.2 s of way
ALL_CUT = {frozenset(pair) for pair in combinations(SITES, 2)}


def kill_all(world: World) -> None:
    for name in SITES:
        world.kill(name)


def hang_all(world: World) -> None:
    """Their leases end within one renewal's time of each other."""
    for name in SITES:
        world.hang(name)


def start_all(world: World) -> None:
    for name in SITES:
        world.start(name)


def wish_all(world: World, random_: random.Random) -> None:
    """One wish, to all sites at once or nearly so."""
    mode = random_.choice(list(Mode))
    for name in SITES:
        world.ask(name, mode)
        world.run(random_.choice((0.0, 0.0, 0.4, 0.9)))


def cut_some(world: World, random_: random.Random) -> None:
    world.cut = {frozenset(random_.sample(SITES, 2)) for _ in range(random_.randint(1, 3))}


def drain_all_unheard(world: World, random_: random.Random) -> None:
    """Just when nobody hears any more what the others will do."""
    world.cut = set(ALL_CUT)
    for name in SITES:
        world.ask(name, Mode.DRAIN)


def kill_all_unheard(world: World, random_: random.Random) -> None:
    """The last that each hears of the others, after its own end, is that they announce."""
    kill_all(world)
    world.run(random_.choice((0.0, 0.1, 0.2)))
    world.cut = set(ALL_CUT)


def hang_all_unheard(world: World, random_: random.Random) -> None:
    """As before, but each lease ends at its own time: some still announce, and say so, when others have ended."""
    hang_all(world)
    world.run(random_.choice((0.2, 0.3, 0.4, 0.5)))
    world.cut = set(ALL_CUT)


def set_a_clock(world: World, random_: random.Random) -> None:
    agent = world.sites[random_.choice(SITES)].agent
    if agent is not None:
        agent.clock_off_s = random_.choice((0.0, 3.0, -60.0))


def break_or_mend(world: World, random_: random.Random) -> None:
    name, part = random_.choice(SITES), random_.choice(HARD)
    (world.mend if part in world.sites[name].broken else world.break_)(name, part)


def mend_one(world: World, random_: random.Random) -> None:
    name = random_.choice(SITES)
    for part in HARD:
        world.mend(name, part)


def drain_some(world: World, random_: random.Random) -> None:
    """Somebody is left who should serve."""
    for name in random_.sample(SITES, random_.randint(1, 2)):
        world.ask(name, Mode.DRAIN)


def restart_all(world: World, random_: random.Random) -> None:
    kill_all(world)
    start_all(world)


def heal_cuts(world: World, random_: random.Random) -> None:
    world.cut = set()


Happening = Callable[[World, random.Random], object]
SOFT: tuple[Happening, ...] = (
    lambda world, random_: world.kill(random_.choice(SITES)),
    lambda world, random_: world.hang(random_.choice(SITES)),
    lambda world, random_: world.crash(random_.choice(SITES)),
    lambda world, random_: world.kill_bridge(random_.choice(SITES)),
    lambda world, random_: kill_all(world),
    lambda world, random_: start_all(world),
    lambda world, random_: start_all(world),
    restart_all,
    lambda world, random_: world.ask(random_.choice(SITES), random_.choice(list(Mode))),
    wish_all,
    cut_some,
    heal_cuts,
    drain_all_unheard,
    kill_all_unheard,
    hang_all_unheard,
    set_a_clock,
)
ALL: tuple[Happening, ...] = (*SOFT, break_or_mend, break_or_mend, break_or_mend, mend_one, mend_one, drain_some)


def check(world: World) -> None:
    """What holds at every instant."""
    linger_s = max(LINGER_MIN_S, 2 * world.mrai_s)
    for site in world.sites.values():
        age_s = world.now - max(site.renewed_at, site.bridge_at)  # a new bridge inherits one lease at most
        preferred = [route for route in site.rib.values() if GRACEFUL_SHUTDOWN not in route.communities]
        assert not preferred or age_s <= LEASE_S + STEP_S, f"{site.name}: preferred without a lease"
        gone_s = world.now - site.preferred_at
        quick = world.now - site.hard_at < REACTION_S + linger_s or world.now - site.bridge_at < LEASE_S + linger_s
        lingered = gone_s >= linger_s - TICK_S  # a drain's begins with the wish, and is told at the next tick
        assert site.rib or quick or lingered, f"{site.name}: withdrawn before its linger was over"
        assert not site.rib or age_s <= LEASE_S + ORPHAN_HOLD_S + STEP_S, f"{site.name}: beyond every hold"
        known_hard = site.hard_since is not None and world.now - site.hard_since > REACTION_S
        agent = site.agent if site.agent is not None and not site.agent.hangs else None
        if known_hard and agent is not None and world.now > agent.ready_at + REACTION_S:
            assert not site.rib, f"{site.name}: announced with a hard reason"
        check_ends(world, site)


def check_ends(world: World, site: Site) -> None:
    """Who knows that another site announces does not keep a route for want of a lease, nor against a drain."""
    if not any(known_to(world, site, other) for other in world.sites.values() if other is not site):
        return
    bridge_linger_s = max(site.linger_s, LINGER_MIN_S)  # a bridge that was started anew lingers for at least so long
    over_s = world.now - max(site.renewed_at, site.bridge_at) - LEASE_S - bridge_linger_s
    assert not site.rib or over_s <= max(STEP_S, KNOWN_S - bridge_linger_s), f"{site.name}: beyond its linger"
    drained = site.wish.mode is Mode.DRAIN and site.agent is not None
    ends_s = world.now - max(site.wish.since, site.unfit_at, site.bridge_at) - max(LINGER_MIN_S, 2 * world.mrai_s)
    assert not (drained and site.rib and ends_s > KNOWN_S), f"{site.name}: drained, and still announced"


def known_to(world: World, site: Site, other: Site) -> bool:
    """Whether `other` is announced, and has been so long that word of it must have come."""
    since = max(other.down_at, other.unfit_at, other.bridge_at, world.cut_at[frozenset((site.name, other.name))])
    return world.now - since > KNOWN_S


def live(world: World, random_: random.Random, happenings: tuple[Happening, ...], checked: Callable[[], None]) -> None:
    """Many things happen, with pauses of all lengths; `checked` is called at every instant."""
    for _ in range(EVENTS):
        random_.choice(happenings)(world, random_)
        for _ in range(random_.choice((1, 3, 10, 40, 200))):
            world.run(STEP_S)
            checked()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_to_three_sites(seed: int) -> None:
    random_ = random.Random(seed)
    world = World(seed)
    world.run(10.0)
    assert all(list(site.rib.values()) for site in world.sites.values())
    live(world, random_, ALL, lambda: check(world))
    for name in SITES:
        world.start(name)
    kept, *others = random_.sample(SITES, len(SITES))
    world.ask(kept, Mode.SERVE)
    for name in others:  # amid whatever is broken now; it is mended while the drains go on
        world.ask(name, random_.choice((Mode.DRAIN, Mode.DRAIN, Mode.DEPREFERENCE)))
    heal(world)
    for name, site in world.sites.items():
        expected = {Mode.SERVE: [()], Mode.DEPREFERENCE: [(GRACEFUL_SHUTDOWN,)], Mode.DRAIN: []}[site.wish.mode]
        assert [route.communities for route in site.rib.values()] == expected, (name, site.speaker.reason)
    for name in SITES:
        world.ask(name, Mode.SERVE)
    world.run(HOLD_DOWN_MAX_S + 2.0)
    for site in world.sites.values():
        assert [route.communities for route in site.rib.values()] == [()], site.speaker.reason


def heal(world: World) -> None:
    """Every fault is put right, and the longest hold passes; what the operator asked for stays."""
    world.cut = set()
    for name, site in world.sites.items():
        world.start(name)
        for part in HARD:
            world.mend(name, part)
        if site.agent is not None:
            site.agent.clock_off_s = 0.0
    world.run(START_S + HOLD_DOWN_MAX_S + 10.0)


@pytest.mark.parametrize("seed", range(30))
def test_for_soft_reasons_and_for_want_of_home_agents_never_all_sites_withdraw(seed: int) -> None:
    """No hard fault in this life, but home agents and bridges die: at every instant somebody is announced."""
    random_ = random.Random(1000 + seed)
    world = World(seed)
    world.run(10.0)

    def checked() -> None:
        check(world)
        announced = [each.name for each in world.sites.values() if each.rib]
        assert announced, {each.name: each.speaker.reason for each in world.sites.values()}

    live(world, random_, SOFT, checked)


ENDS: tuple[Callable[[World], None], ...] = (kill_all, hang_all)


@pytest.mark.parametrize("end_all", ENDS)
@pytest.mark.parametrize("delay_s", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(2))
def test_sites_whose_home_agents_end_together_do_not_each_withdraw_in_favour_of_the_other(
    seed: int, delay_s: float, end_all: Callable[[World], None]
) -> None:
    """Whenever the sites lose sight of each other: the last that one hears of another may be that it announces."""
    for steps in range(int(0.8 / STEP_S)):
        world = World(seed)
        world.delay_s, world.vouch_s = delay_s, VOUCH_S
        world.run(START_S + 2.0)
        assert [site.speaker.state for site in world.sites.values()] == [State.ANNOUNCED] * len(SITES)
        end_all(world)
        world.run(steps * STEP_S)
        world.cut = set(ALL_CUT)
        world.run(4.0)
        announced = [site.name for site in world.sites.values() if site.rib]
        assert announced, f"cut {steps * STEP_S:.2f} s after the end, nobody is announced"
