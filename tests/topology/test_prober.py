"""The prober: loses nothing by itself at the rate that scenarios use, and sees what is really lost."""

import time

import pytest

from lab.lab import Lab
from lab.ledger import servers
from lab.poll import wait_until
from lab.probe import Prober, Stream
from lab.topology import host_address

pytestmark = pytest.mark.netns
PROBES_WANTED = 1000
TOTAL_HZ = 1000.0
DEADLINE_S = 20.0


def streams(lab: Lab) -> list[Stream]:
    """Two directions between the correspondents, by static routes over the link of their ISPs."""
    lab.network.configure("isp1", ["route add 2001:db8:3::/48 via 2001:db8:ff:13::3"])
    lab.network.configure("isp3", ["route add 2001:db8:1::/48 via 2001:db8:ff:13::1"])
    near, far = host_address("cn1"), host_address("cn3")
    return [
        Stream("cn1", near, "cn3", far, TOTAL_HZ / 2, (20001, 20002)),
        Stream("cn3", far, "cn1", near, TOTAL_HZ / 2, (20001, 20002)),
    ]


def sent_at_least(prober: Prober, count: int) -> None:
    wait_until(lambda: None if len(prober.ledger) >= count else f"only {len(prober.ledger)} probes left", DEADLINE_S)


def test_a_thousand_probes_a_second_arrive_whole(lab: Lab) -> None:
    prober = Prober(lab.network, streams(lab), (), ())
    prober.start()
    try:
        sent_at_least(prober, PROBES_WANTED)
    finally:
        prober.stop()
    probes = list(prober.ledger.between(float("-inf"), float("inf")))
    assert [probe for probe in probes if probe.received_at is None] == []
    assert prober.errors == {}
    assert prober.ledger.directions == ("cn1->cn3", "cn3->cn1")
    delays = sorted((probe.received_at or 0.0) - probe.sent_at for probe in probes)
    assert 0 <= delays[len(delays) // 2] < 0.05


def test_what_the_network_drops_is_counted_as_lost_in_its_direction(lab: Lab) -> None:
    prober = Prober(lab.network, streams(lab), (), ())
    prober.start()
    try:
        sent_at_least(prober, 200)
        lab.network.configure("isp3", ["route replace blackhole 2001:db8:1::/48"])
        cut_at = time.monotonic()
        sent_at_least(prober, len(prober.ledger) + 200)
    finally:
        prober.stop()
    there = list(prober.ledger.between(cut_at, float("inf"), "cn1->cn3"))
    back = list(prober.ledger.between(cut_at, float("inf"), "cn3->cn1"))
    assert all(probe.received_at is not None for probe in there)
    assert all(probe.received_at is None for probe in back)
    assert servers(iter(there)) == (set(), set())


def test_stopping_twice_is_fine_and_a_failed_start_closes_everything(lab: Lab) -> None:
    wrong = [Stream("cn1", "2001:db8::bad", "cn3", host_address("cn3"), 10.0, (20001,))]
    prober = Prober(lab.network, wrong, (), ())
    with pytest.raises(OSError, match="Cannot assign"):
        prober.start()
    prober.stop()
    prober.stop()
