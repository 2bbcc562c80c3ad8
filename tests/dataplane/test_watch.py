"""What others do to our objects is noticed; what we do ourselves, however much, is not; and the repair is complete."""

from collections.abc import Iterator
from itertools import cycle

import pytest

from dataplane.entry import ForwardingEntry, Path
from dataplane.linux import LinuxHomeAgent
from dataplane.plan import nexthop_id
from tests.dataplane.test_linux import BOTH, CARE_OF, HOME, MNP, SITE, believed, everything, prefix, prepared_home_agent
from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns


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
        ("ip link set lo down", {"routes"}),
        ("ip -6 route del default proto 208", {"egress"}),
        ("ip link set isp down", {"egress"}),
    ],
)
def test_what_others_take_away_is_noticed_and_comes_back(
    net: Net, plane: LinuxHomeAgent, words: str, what: set[str]
) -> None:
    """By looking at what was disturbed and at nothing else."""
    before = everything(net, "ha"), net.inside("ha", believed)
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
    assert net.inside("ha", lambda: plane.reconcile({HOME: BOTH}, noticed)) == {HOME: None}
    assert (everything(net, "ha"), net.inside("ha", believed)) == before
    assert net.inside("ha", plane.disturbances) == set()


def test_our_own_changes_are_nothing_to_notice(net: Net, plane: LinuxHomeAgent) -> None:
    one = ForwardingEntry(HOME, (MNP, prefix("2001:db8:f200::/52")), (Path(2, CARE_OF[2]),))
    entries = cycle([one, BOTH, None])
    for _ in range(300):
        entry = next(entries)
        net.inside("ha", lambda entry=entry: plane.apply({HOME: entry}))  # type: ignore[misc]
    for now in (0.0, 10.0):
        net.inside("ha", lambda now=now: plane.expire(now))  # type: ignore[misc]
    net.inside("ha", plane.egress_present)
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
