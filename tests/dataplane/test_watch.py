"""What others do to our objects is noticed; what we do ourselves, however much, is not; and the repair is complete."""

from collections.abc import Iterator
from itertools import cycle

import pytest

from dataplane import ip6tnl, plan
from dataplane.driver import Driver
from dataplane.entry import ForwardingEntry, Path
from dataplane.filter import _nft
from dataplane.linux import LinuxHomeAgent
from dataplane.plan import nexthop_id
from dataplane.port import Disturbance
from dataplane.watch import _Announcement, _route_change
from tests import tunnels
from tests.bgp.site_and_isp import wait_for
from tests.dataplane.test_linux import (
    BOTH,
    CARE_OF,
    HOME,
    MNP,
    SITE,
    address,
    believed,
    prefix,
    prepared_home_agent,
    whole,
)
from tests.netns import Net
from tests.office import office

RTM_NEWNEXTHOPBUCKET = 116  # linux/rtnetlink.h
pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("each_driver")]

ENTRY_OF_NOBODY = ForwardingEntry(address("2001:db8:f000::99"), (), BOTH.paths)
LOOKS = {"elements": {"filters"}, "objects": {"routes", "nexthops"}}
TUNNELS_BY = {Driver.SEG6: "lo", Driver.IP6TNL: ip6tnl.DEVICE}


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


@pytest.fixture
def plane(net: Net) -> LinuxHomeAgent:
    made = net.inside("ha", prepared_home_agent)
    assert net.inside("ha", lambda: made.apply({HOME: BOTH})) == {HOME: None}
    assert net.inside("ha", made.disturbances) == set()
    return made


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("ip -6 route flush proto 208", {"routes", "egress"}),
        ("ip -6 route del 2001:db8:f100::/56", {"routes"}),
        ("ip -6 rule del priority 0", {"rules"}),
        ("ip nexthop flush proto 208", {"nexthops", "routes"}),
        (f"ip nexthop del id {nexthop_id(1, 2)}", {"nexthops"}),
        ("nft delete table ip6 xsp_ha", {"filters"}),
        ("nft flush set ip6 xsp_ha ok56", {"filters"}),
        ("nft flush chain ip6 xsp_ha prerouting", {"filters"}),
        ("ip link set {tunnels} down", {"routes"}),
        ("ip -6 route del default proto 208", {"egress"}),
        ("ip link set isp down", {"egress"}),
        (f"ip -6 route add default nhid {nexthop_id(1, 0)} metric 7 proto 208", {"routes"}),
    ],
)
def test_what_others_take_away_is_noticed_and_comes_back(
    net: Net, plane: LinuxHomeAgent, monkeypatch: pytest.MonkeyPatch, words: str, what: set[str]
) -> None:
    """By looking at what was disturbed and at nothing else."""
    looks = [name for name, at in LOOKS.items() if what & at]
    driver = tunnels.driver()
    assert driver
    words = words.format(tunnels=TUNNELS_BY[driver])
    before = whole(net)
    assert any(before[1].values())
    net.run("ha", *words.split(), check=False)  # a flush stops at the first route that its own deletions took along
    noticed = net.inside("ha", plane.disturbances)
    assert noticed == what
    if words.startswith("ip link"):
        device = words.split()[3]
        net.run("ha", "ip", "link", "set", device, "up")
        if device == "isp":  # the kernel took its address as well, which is not ours to put back
            net.run("ha", "ip", "addr", "add", "2001:db8:a::10/64", "dev", "isp", "nodad")
    net.inside("ha", lambda: plane.prepare(SITE))
    looked = looking(plane, monkeypatch)
    assert net.inside("ha", lambda: plane.reconcile({HOME: BOTH}, noticed)) == {HOME: None}
    assert sorted(looked) == looks
    # With an interface that was down the kernel's own routes come back a moment later.
    wait_for("everything is back", lambda: whole(net) == before)
    assert net.inside("ha", plane.disturbances) == set()


def looking(plane: LinuxHomeAgent, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Takes down what is read from the kernel from now on."""
    looked: list[str] = []

    def tell(what: str, owner: object, name: str) -> None:
        call = getattr(owner, name)

        def told() -> object:
            looked.append(what)
            return call()

        monkeypatch.setattr(owner, name, told)

    tell("objects", plane, "_dump")
    tell("elements", plane._check, "reload")
    return looked


def test_a_script_for_many_lengths_of_prefixes_is_no_overrun(net: Net, plane: LinuxHomeAgent) -> None:
    """Each of its rules is announced: too many for a common socket, and each repair was the reason for another one."""
    networks = tuple(prefix(f"2001:db8:f100::/{length}") for length in range(45, 120))
    many = ForwardingEntry(HOME, networks, BOTH.paths)
    assert net.inside("ha", lambda: plane.apply({HOME: many})) == {HOME: None}
    net.inside("ha", lambda: plane.prepare(SITE))
    assert net.inside("ha", plane.disturbances) == set()


def test_a_program_that_has_another_port_is_taken_for_our_own(
    net: Net, plane: LinuxHomeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = net.inside("ha", prepared_home_agent)
    monkeypatch.setattr("dataplane.filter._nft", lambda script: _nft(script) and -1)
    for _ in range(2):
        net.inside("ha", lambda: again.prepare(SITE))
        assert net.inside("ha", again.disturbances) == set()


def test_what_others_do_beside_a_script_of_ours_is_noticed(net: Net, plane: LinuxHomeAgent) -> None:
    """All that was announced until a script was through had been taken for its doing."""
    net.run("ha", *["nft", "flush", "set", "ip6", "xsp_ha", "ok56"])
    net.inside("ha", lambda: plane.prepare(SITE))
    assert net.inside("ha", plane.disturbances) == {"filters"}
    assert net.inside("ha", plane.disturbances) == set()


def test_who_could_not_be_entered_in_a_repair_is_entered_when_it_is_asked_for_again(
    net: Net, plane: LinuxHomeAgent
) -> None:
    """His routes were all right, so he was said to be in: he could not send, and nobody knew."""
    his = ForwardingEntry(address("2001:db8:f000::60"), (prefix("2001:db8:f160::/60"),), BOTH.paths)
    assert net.inside("ha", lambda: plane.apply({his.home_address: his})) == {his.home_address: None}
    before, wanted = net.inside("ha", believed), {HOME: BOTH, his.home_address: his}
    net.run("ha", "nft", "delete", "table", "ip6", "xsp_ha")
    net.inside("ha", lambda: plane.prepare(SITE))
    net.run("ha", "nft", "add", "set", "ip6", "xsp_ha", "ok60", "{ type ipv6_addr; }")
    results = net.inside("ha", lambda: plane.reconcile(wanted, {Disturbance.FILTERS}))
    assert results[HOME] is None and results[his.home_address]
    net.run("ha", "nft", "delete", "set", "ip6", "xsp_ha", "ok60")
    assert net.inside("ha", lambda: plane.apply({his.home_address: his})) == {his.home_address: None}
    assert net.inside("ha", believed) == before


def test_who_could_not_be_entered_is_not_in_after_netlink_failed_either(net: Net, plane: LinuxHomeAgent) -> None:
    """All was read anew, and right but for elements: nobody looked whether they are there."""
    before = net.inside("ha", believed)
    net.run("ha", "nft", "flush", "set", "ip6", "xsp_ha", "ok56")
    plane._is_view_right = False
    assert net.inside("ha", lambda: plane.apply({HOME: BOTH})) == {HOME: None}
    assert net.inside("ha", believed) == before


def test_whom_a_repair_is_refused_keeps_the_elements_of_what_he_still_has(net: Net, plane: LinuxHomeAgent) -> None:
    """A foreign group with the id of his second line: the first went on in one direction alone."""
    before, taken = net.inside("ha", believed), str(nexthop_id(1, 2))
    for words in (f"del id {taken}", "add id 5 via 2001:db8:a::1 dev isp", f"add id {taken} group 5"):
        net.run("ha", "ip", "nexthop", *words.split())
    assert net.inside("ha", lambda: plane.reconcile({HOME: BOTH}, {Disturbance.NEXTHOPS}))[HOME]
    for now in (0.0, 10.0):
        net.inside("ha", lambda now=now: plane.expire(now))  # type: ignore[misc]
    assert net.inside("ha", believed) == before


def test_who_is_refused_what_is_new_and_lacks_what_was_is_entered_when_that_is_asked_for(
    net: Net, plane: LinuxHomeAgent
) -> None:
    """After a repair that refused his third line he was left with two of which nothing was believed any more."""
    before, taken = net.inside("ha", believed), str(nexthop_id(1, 3))
    three = ForwardingEntry(HOME, (), (*BOTH.paths, Path(3, address("2001:db8:3:c::20"))))
    for words in ("add id 5 via 2001:db8:a::1 dev isp", f"add id {taken} group 5"):
        net.run("ha", "ip", "nexthop", *words.split())
    net.run("ha", "nft", "delete", "table", "ip6", "xsp_ha")
    net.inside("ha", lambda: plane.prepare(SITE))
    assert net.inside("ha", lambda: plane.reconcile({HOME: three}, {Disturbance.FILTERS}))[HOME]
    assert "ok56" not in net.inside("ha", believed)
    assert net.inside("ha", lambda: plane.apply({HOME: BOTH})) == {HOME: None}
    for now in (0.0, 10.0):
        net.inside("ha", lambda now=now: plane.expire(now))  # type: ignore[misc]
    assert net.inside("ha", believed) == before


def test_elements_that_nobody_has_leave_without_being_read(net: Net, plane: LinuxHomeAgent) -> None:
    before, nobodys = net.inside("ha", believed), {address("2001:db8:f000::99"): plan.elements(ENTRY_OF_NOBODY)}
    assert net.inside("ha", lambda: plane._check.enter(nobodys)) == {}
    assert net.inside("ha", believed) != before
    assert net.inside("ha", lambda: plane.reconcile({HOME: BOTH}, {Disturbance.RULES})) == {HOME: None}
    for now in (0.0, 10.0):
        net.inside("ha", lambda now=now: plane.expire(now))  # type: ignore[misc]
    assert net.inside("ha", believed) == before


def test_a_resilient_group_that_settles_is_nothing_to_notice() -> None:
    assert _route_change(_Announcement(RTM_NEWNEXTHOPBUCKET, 0, bytes(8))) is None


def test_our_own_changes_are_nothing_to_notice(net: Net, plane: LinuxHomeAgent) -> None:
    one = ForwardingEntry(HOME, (MNP, prefix("2001:db8:f200::/52")), (Path(2, CARE_OF[2]),))
    entries = cycle([one, BOTH, None])
    for _ in range(300):
        entry = next(entries)
        net.inside("ha", lambda entry=entry: plane.apply({HOME: entry}))  # type: ignore[misc]
    for now in (0.0, 10.0):
        net.inside("ha", lambda now=now: plane.expire(now))  # type: ignore[misc]
    net.inside("ha", plane.egress_present)
    net.inside("ha", lambda: plane.prepare(SITE))
    assert net.inside("ha", plane.disturbances) == set()


def test_objects_of_others_are_nothing_to_notice(net: Net, plane: LinuxHomeAgent) -> None:
    for words in (
        "ip -6 route add 2001:db8:99::/48 dev isp proto static",
        "ip -6 route del 2001:db8:99::/48",
        "ip -6 rule add priority 500 lookup main",
        "ip nexthop add id 7 dev isp",
        "ip nexthop del id 7",
        "nft add table ip6 theirs",
    ):
        net.run("ha", *words.split())
    assert net.inside("ha", plane.disturbances) == set()
