"""The star: reflectors pass on changes, acknowledgements and HELLO between sites that do not know each other."""

import random
from collections.abc import Sequence

import pytest

from ha.events import TimeReached
from ha.record import same
from ha.replication import DIGEST_EVERY_S
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import CARE_OF_1, HOME, OVERWRITE, Router, both_lines
from tests.ha.mesh import MESH, Mesh, star

NOW = 100.0
ONE = star(["hub"], ["site1", "site2", "site3"])
TWO = star(["hub1", "hub2"], ["site1", "site2", "site3"])
SERVING_HUB = star(["site1"], ["site2", "site3"])


def joined(mesh: Mesh) -> Mesh:
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    return mesh


def test_a_change_reaches_a_site_that_its_author_does_not_know() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site1"].plane.read() != {}
    assert mesh.sites["hub"].plane.read() == {}


def test_any_waits_for_a_site_that_forwards_and_not_for_the_reflector() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.step(("hub*", "site1"), NOW)
    assert mesh.acks == []
    mesh.step(("hub", "site2"), NOW)
    mesh.step(("site2*", "hub"), NOW)
    mesh.step(("hub*", "site1"), NOW)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    mesh.settle(NOW)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "timeout") == 0


def test_the_reflector_alone_is_enough_when_no_other_site_is_heard() -> None:
    mesh = Mesh(topologies=ONE, idle=["hub"])
    mesh.join("site1", "hub", NOW)
    mesh.join("hub", "site1", NOW)
    mesh.settle(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "no_peer") == 0


def test_all_waits_for_every_site_that_is_heard_through_a_reflector() -> None:
    mesh = joined(Mesh("all", topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.step(("hub", "site2"), NOW)
    mesh.step(("site2*", "hub"), NOW)
    for _ in range(3):
        mesh.step(("hub*", "site1"), NOW)
    assert mesh.acks == []
    mesh.settle(NOW)
    assert len(mesh.acks) == 1


def test_a_reflector_that_is_a_home_agent_acknowledges_for_itself() -> None:
    mesh = joined(Mesh(topologies=SERVING_HUB))
    mesh.feed("site2", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site2", "site1"), NOW)
    mesh.step(("site1*", "site2"), NOW)
    assert len(mesh.acks) == 1
    mesh.settle(NOW)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site1"].plane.read() != {}


def test_a_change_that_goes_in_circles_ends() -> None:
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    for _ in range(60):
        for stream in list(mesh.streams):
            mesh.step(stream, NOW)
    assert not any(mesh.streams.values())
    assert len(mesh.acks) == 1


def test_one_of_two_reflectors_may_die_in_the_middle_of_a_change() -> None:
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub1"), NOW)
    mesh.gone("hub1", NOW)
    mesh.settle(NOW)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site2"].plane.read() != {}
    assert len(mesh.acks) == 1


def test_what_the_only_reflector_lost_is_found_when_it_is_back() -> None:
    mesh, router = joined(Mesh(topologies=ONE, idle=["hub"])), Router()
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.gone("hub", NOW)
    mesh.settle(NOW)
    assert mesh.sites["site2"].plane.read() == {}
    mesh.join_all(NOW + 1)
    mesh.tick(NOW + DIGEST_EVERY_S)
    mesh.settle(NOW + DIGEST_EVERY_S)
    assert mesh.sites["site2"].plane.read() == mesh.sites["site1"].plane.read() != {}


def test_clients_hear_each_other_through_the_reflector_and_forget_when_it_is_silent_about_one() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    assert mesh.sites["site1"].agent.serving.forwarding == {"site2", "site3"}
    mesh.gone("site2", NOW)
    mesh.say_hello(NOW + 1)
    mesh.tick(NOW + 1)
    assert mesh.sites["site1"].agent.serving.forwarding == {"site3"}
    seen = mesh.sites["site1"].agent.serving.seen["site2"]
    assert seen is not None
    assert (seen.heard_at, seen.direct) == (NOW, False)


def test_two_reflectors_do_not_keep_a_dead_site_alive_by_telling_each_other() -> None:
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.gone("site2", NOW)
    for tenth in range(1, 60):
        mesh.say_hello(NOW + tenth / 10)
    for name in ("hub1", "site1"):
        seen = mesh.sites[name].agent.serving.seen["site2"]
        assert seen is not None
        assert seen.heard_at == NOW


def test_what_a_reflector_knows_from_another_one_it_keeps_to_itself() -> None:
    """Else two of them would tell each other of a dead site for ever, each time a round trip younger than it is."""
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.cut("site2", "hub1", NOW)
    mesh.say_hello(NOW + 1)
    serving = mesh.sites["hub1"].agent.serving
    seen = serving.seen["site2"]
    assert seen is not None
    assert (seen.heard_at, seen.direct) == (NOW + 1, False)
    assert "site2" not in {one.site for one in serving.heard(NOW + 1)}


def test_a_reflector_that_starts_passes_on_no_full_sets() -> None:
    """Each client's full set would go to every other client, who has it already."""
    mesh = Mesh(topologies=ONE, idle=["hub"])
    for name in ("site1", "site2"):
        mesh.sites[name].feed(Router().update(NOW, both_lines()), NOW)
    for name in ("site1", "site2", "site3"):
        mesh.join("hub", name, NOW)
    mesh.settle(NOW)
    for name in ("site1", "site2"):
        mesh.join(name, "hub", NOW)
    for stream in (("hub*", "site1"), ("site1", "hub"), ("hub*", "site2"), ("site2", "hub")):
        mesh.step(stream, NOW)
    assert HOME in mesh.sites["hub"].agent.cache.records
    assert not any(queue for (sender, _), queue in mesh.streams.items() if sender == "hub")


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    ("topologies", "idle"), [(ONE, ["hub"]), (TWO, ["hub1", "hub2"]), (SERVING_HUB, []), (MESH, [])]
)
def test_sites_are_equal_after_quiet_whatever_happened(topologies: dict, idle: Sequence[str], seed: int) -> None:
    random_ = random.Random(seed)
    mesh, router, now = Mesh(topologies=topologies, idle=idle), Router(), NOW
    serving = [name for name in mesh.names if name not in idle]
    pairs = [(one, other) for one in mesh.names for other in topologies[one].peers]
    mesh.join_all(now)
    for _ in range(150):
        now += random_.choice((0.0, 0.001, 0.3))
        sender, receiver = random_.choice(pairs)
        match random_.randrange(10):
            case 0:
                mesh.cut(sender, receiver, now)
            case 1:
                mesh.join(sender, receiver, now)
            case 2 | 3 | 4:
                bids = [BindingIdentifier(bid, care_of=CARE_OF_1[:-1] + bytes([bid])) for bid in (1, 2)]
                flags = OVERWRITE if random_.random() < 0.3 else router.update(now).update.flags
                lifetime_s = random_.choice((0, 60, 120))
                update = router.update(now, bids[: random_.randint(0, 2)], lifetime_s=lifetime_s, flags=flags)
                mesh.feed(random_.choice(serving), update, now)
            case 5:
                mesh.feed(sender, TimeReached(), now)
            case _:
                mesh.step(random_.choice(list(mesh.streams) or pairs), now)
    mesh.join_all(now)
    for _ in range(4):  # a difference may have to pass two reflectors
        now += DIGEST_EVERY_S
        mesh.tick(now)
        mesh.settle(now)
    records = [site.agent.cache.records.get(HOME) for site in mesh.sites.values()]
    for record in records[1:]:
        assert (record is None) == (records[0] is None)
        assert record is None or (records[0] is not None and same(records[0], record))
    kernels = [mesh.sites[name].plane.read() for name in serving]
    assert all(kernel == kernels[0] for kernel in kernels)
