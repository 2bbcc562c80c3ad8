"""Random lives of three sites: what must hold of their announcements, whatever happens, at every instant.

Never announced as preferred without a lease, never at all beyond the holds; never with a hard reason; never all sites
withdrawn for soft reasons or for want of home agents; a drain ends; and in the end all is as it was.
"""

import random

import pytest

from bgp.route import GRACEFUL_SHUTDOWN
from bgp.speaker import LEASE_S
from ha.readiness import Mode
from tests.bgp.announcing import HOLD_DOWN_MAX_S, ORPHAN_HOLD_S, SITES, START_S, STEP_S, TICK_S, World

EVENTS = 60
REACTION_S = TICK_S + 2 * STEP_S


def something(world: World, random_: random.Random) -> str:
    """Do one thing to the world; which."""
    name = random_.choice(SITES)
    site = world.sites[name]
    match random_.choice(("kill", "kill all", "start", "bridge", "egress", "wish", "wish all", "cut", "heal", "clock")):
        case "kill":
            world.kill(name)
        case "kill all":
            for each in SITES:
                world.kill(each)
        case "start":
            for each in SITES:
                world.start(each)
        case "bridge":
            world.kill_bridge(name)
        case "egress":
            site.egress = not site.egress
            site.hard_since = None if site.egress else world.now
        case "wish":
            world.ask(name, random_.choice(list(Mode)))
        case "wish all":
            mode = random_.choice(list(Mode))
            for each in SITES:
                world.ask(each, mode)
                world.run(random_.choice((0.0, 0.0, 0.4, 0.9)))
        case "cut":
            world.cut = {frozenset(random_.sample(SITES, 2)) for _ in range(random_.randint(1, 3))}
        case "heal":
            world.cut = set()
        case "clock" if site.agent is not None:
            site.agent.clock_off_s = random_.choice((0.0, 3.0, -60.0))
    return name


def check(world: World) -> None:
    """What holds at every instant."""
    for site in world.sites.values():
        age_s = world.now - site.renewed_at
        preferred = [route for route in site.rib.values() if GRACEFUL_SHUTDOWN not in route.communities]
        assert not preferred or age_s <= LEASE_S + STEP_S, f"{site.name}: preferred without a lease"
        assert not site.rib or age_s <= LEASE_S + ORPHAN_HOLD_S + STEP_S, f"{site.name}: beyond every hold"
        known_hard = site.hard_since is not None and world.now - site.hard_since > REACTION_S
        if known_hard and site.agent is not None and world.now > site.agent.ready_at + REACTION_S:
            assert not site.rib, f"{site.name}: announced with a hard reason"


def all_gone_for_soft_reasons(world: World, lives: dict[str, float]) -> bool:
    """No site announces, and none that has an excuse: a hard fault, or an orphan hold that has ended."""
    if any(site.rib for site in world.sites.values()):
        return False
    return all(site.egress and world.now - lives[name] > ORPHAN_HOLD_S for name, site in world.sites.items())


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_to_three_sites(seed: int) -> None:
    random_ = random.Random(seed)
    world = World(seed)
    world.run(10.0)
    assert all(list(site.rib.values()) for site in world.sites.values())
    for _ in range(EVENTS):
        something(world, random_)
        for _ in range(random_.choice((1, 3, 10, 40, 200))):
            world.run(STEP_S)
            check(world)
    heal(world)
    for site in world.sites.values():
        assert [route.communities for route in site.rib.values()] == [()], site.speaker.reason
    world.ask("site2", Mode.DRAIN)
    world.run(3.0)
    assert not world.sites["site2"].rib, "a drain ends"


def heal(world: World) -> None:
    """Everything is put right, and the longest hold passes."""
    world.cut = set()
    for name, site in world.sites.items():
        world.start(name)
        site.egress, site.hard_since = True, None
        world.ask(name, Mode.SERVE)
        if site.agent is not None:
            site.agent.clock_off_s = 0.0
    world.run(START_S + HOLD_DOWN_MAX_S + 10.0)


@pytest.mark.parametrize("seed", range(40))
def test_for_soft_reasons_and_for_want_of_home_agents_never_all_sites_withdraw(seed: int) -> None:
    """No hard fault in this life, but home agents and bridges die: at every instant somebody is announced."""
    random_ = random.Random(1000 + seed)
    world = World(seed)
    world.run(10.0)
    for _ in range(EVENTS):
        name = random_.choice(SITES)
        events = ("kill", "kill all", "bridge", "start", "restart all", "wish", "wish all", "cut", "heal", "clock")
        match random_.choice(events):
            case "kill":
                world.kill(name)
            case "bridge":
                world.kill_bridge(name)
            case "kill all":
                for each in SITES:
                    world.kill(each)
            case "restart all":
                for each in SITES:
                    world.kill(each)
                    world.start(each)
            case "start":
                for each in SITES:
                    world.start(each)
            case "wish":
                world.ask(name, random_.choice(list(Mode)))
            case "wish all":
                mode = random_.choice(list(Mode))
                for each in SITES:
                    world.ask(each, mode)
                    world.run(random_.choice((0.0, 0.0, 0.4, 0.9)))
            case "cut":
                world.cut = {frozenset(random_.sample(SITES, 2)) for _ in range(random_.randint(1, 3))}
            case "heal":
                world.cut = set()
            case "clock":
                agent = world.sites[name].agent
                if agent is not None:
                    agent.clock_off_s = random_.choice((0.0, 3.0, -60.0))
        for _ in range(random_.choice((1, 3, 10, 40, 200))):
            world.run(STEP_S)
            check(world)
            announced = [each.name for each in world.sites.values() if each.rib]
            assert announced, {each.name: each.speaker.reason for each in world.sites.values()}
