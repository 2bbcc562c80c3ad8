"""IPv4 beside IPv6: a session of each family, and one that carries both, with the real ExaBGP and FRR."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bgp.site_and_isp import AGGREGATE, BGP_TOML, EXABGP_CONFIGURATION, FRR_CONFIGURATION, LOCATOR, run, wait_for
from tests.bgp.site_and_isp import Site as SixOnly

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(90),
]
AGGREGATE_4 = "198.51.100.0/24"
ISP_4, LOCATOR_4 = "192.0.2.1", "192.0.2.10"
OVER_4 = f"""
 neighbor {LOCATOR_4} remote-as 64500
 neighbor {LOCATOR_4} passive
 neighbor {LOCATOR_4} timers 1 3
 address-family ipv4 unicast
  neighbor {LOCATOR_4} activate
  neighbor {LOCATOR_4} route-map IN-4 in
  neighbor {LOCATOR_4} route-map OUT out
 exit-address-family
"""
OVER_6 = OVER_4.replace(f" neighbor {LOCATOR_4} remote-as 64500\n", "").replace(LOCATOR_4, LOCATOR)
FILTER_4 = f"""
ip prefix-list AGGREGATE-4 seq 5 permit {AGGREGATE_4}
route-map IN-4 permit 10
 match ip address prefix-list AGGREGATE-4
"""


class BothFamilies(SixOnly):
    """`split`: IPv4 has a session of its own; else it travels over the one of IPv6."""

    split = True

    def build(self) -> None:
        super().build()
        for namespace, link, address in ((self.isp, "site", ISP_4), (self.site, "isp", LOCATOR_4)):
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", link)

    def frr_configuration(self) -> str:
        head, _, rest = FRR_CONFIGURATION.partition("router bgp")
        return head + FILTER_4 + "router bgp" + rest + (OVER_4 if self.split else OVER_6)

    def write_configuration(self) -> None:
        super().write_configuration()
        toml = BGP_TOML.replace(f'["{AGGREGATE}"]', f'["{AGGREGATE}", "{AGGREGATE_4}"]')
        conf = EXABGP_CONFIGURATION
        if self.split:
            toml += f'\n[[neighbour]]\naddress = "{ISP_4}"\nas = 64501\n'
            block = conf[conf.index("neighbor ") :].replace(
                f"neighbor {conf.split('neighbor ')[1].split()[0]}", f"neighbor {ISP_4}"
            )
            conf += block.replace(f"local-address {LOCATOR}", f"local-address {LOCATOR_4}").replace(
                "ipv6 unicast", "ipv4 unicast"
            )
        else:
            toml += f'next_hop = "{LOCATOR_4}"\n'
            conf = conf.replace("family { ipv6 unicast; }", "family { ipv6 unicast; ipv4 unicast; }")
        for name, text in (("exabgp.conf", conf), ("bgp.toml", toml)):
            text = text.replace("PROGRAM", str(self.program)).replace("DIRECTORY", str(self.directory))
            (self.directory / name).write_text(text)

    def heard_4(self) -> dict[str, Any] | None:
        """The aggregate of IPv4 as it stands in the neighbour's RIB."""
        return self.heard(AGGREGATE_4, "ipv4")


@pytest.fixture(params=[True, False], ids=["a session of each family", "one session for both"])
def site(request: pytest.FixtureRequest) -> Iterator[BothFamilies]:
    directory = Path(tempfile.mkdtemp(prefix="xsp-bgp-"))
    directory.chmod(0o755)
    place = BothFamilies(directory)
    place.split = request.param
    try:
        place.build()
        yield place
    finally:
        place.close()
        shutil.rmtree(directory, ignore_errors=True)


def sent(site: BothFamilies) -> dict[str, set[str]]:
    """The prefixes that each neighbour was sent, as the status says."""
    return {row["address"]: {one.split(" ", 1)[0] for one in row["sent"]} for row in site.status()["neighbours"]}


def test_aggregates_of_both_families_come_and_go_together(site: BothFamilies) -> None:
    site.start_supervisor()
    wait_for("the sessions are up", site.is_connected, 20, 0.1)
    holder = site.start_holder(60_000, AGGREGATE, AGGREGATE_4)
    wait_for("both are heard", lambda: site.is_announced() and site.heard_4())
    path = site.heard_4()
    assert path is not None
    assert [hop["ip"] for hop in path["nexthops"]] == [LOCATOR_4]
    wait_for("all is well", lambda: site.status()["healthy"], 10, 0.1)
    both = {AGGREGATE, AGGREGATE_4}
    wait_for("both are shown as sent", lambda: set().union(*sent(site).values()) == both, 5, 0.1)
    if site.split:
        assert sent(site)[ISP_4] == {AGGREGATE_4}
    site.wish(holder, "withdraw")
    wait_for("both are withdrawn", lambda: site.is_withdrawn() and site.heard_4() is None, 5)
