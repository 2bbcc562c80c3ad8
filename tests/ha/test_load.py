"""How busy a site is, from the kernel's own table of interfaces."""

from pathlib import Path

import pytest

from ha.load import Meter, parse

TABLE = """\
Inter-|   Receive                                             |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0
  isp: 5000 9 0 0 0 0 0 0 7000 9 0 0 0 0 0 0
eth0:123456789012 9 0 0 0 0 0 0 1 9 0 0 0 0 0 0
"""


def test_the_kernels_table_is_read_also_without_a_blank_after_the_name() -> None:
    assert parse(TABLE) == {"lo": (100, 100), "isp": (5000, 7000), "eth0": (123456789012, 1)}
    assert "lo" in parse(Path("/proc/self/net/dev").read_text())


def test_the_busier_direction_of_all_egresses_counts_against_the_capacity_and_peaks_are_smoothed() -> None:
    meter = Meter(["isp", "eth0"], capacity_mbit_s=8)  # 1,000,000 octets a second
    octets = {"isp": (0, 0), "eth0": (0, 0), "lo": (0, 0)}
    assert meter.share(octets, 10.0) == 0
    shares = []
    for second in range(1, 40):
        octets = {"isp": (second * 100_000, second * 300_000), "eth0": (0, second * 200_000), "lo": (second * 10**9, 0)}
        shares.append(meter.share(octets, 10.0 + second))
    assert shares[0] == pytest.approx(0.1)
    assert shares[-1] == pytest.approx(0.5, abs=0.001)
    assert shares == sorted(shares)


def test_an_interface_that_was_made_anew_or_is_gone_does_no_harm() -> None:
    meter = Meter(["isp"], capacity_mbit_s=8)
    meter.share({"isp": (5_000_000, 0)}, 1.0)
    assert meter.share({"isp": (10, 0)}, 2.0) == 0
    assert meter.share({}, 3.0) == 0
    assert meter.share({"isp": (10, 0)}, 4.0) == 0


def test_without_a_capacity_nothing_is_measured() -> None:
    assert Meter(["isp"], 0).read(1.0) == 0
