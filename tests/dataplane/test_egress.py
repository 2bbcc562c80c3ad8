"""Whether a site has a way out is answered at any moment, also while its driver reads what the kernel holds."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataplane.egress import Egresses
from dataplane.entry import Egress, ForwardingEntry, Path
from dataplane.errors import DataPlaneError
from tests.bgp.site_and_isp import wait_for
from tests.dataplane.test_linux import CARE_OF, GATEWAY, address, prepared_home_agent
from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns
CUSTOMERS = 200


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


def test_a_way_out_is_looked_for_beside_a_dump(net: Net) -> None:
    """Both asked by one socket, so whoever looked for a way out had to wait for the dump, or took its answers."""
    homes = [address(f"2001:db8:f000::1:{one:x}") for one in range(CUSTOMERS)]
    wanted = {home: ForwardingEntry(home, (), (Path(1, CARE_OF[1]),)) for home in homes}

    def beside_a_dump() -> set[int]:
        plane = prepared_home_agent()
        assert plane.apply(wanted) == dict.fromkeys(wanted)
        over = threading.Event()

        def read() -> set[int]:
            found = set()
            while not over.is_set():
                found.add(len(plane.read()))
            return found

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)  # its thread begins here, in the namespace of whoever submits
            try:
                assert all(plane.egress_present() for _ in range(200))
                net.run("isp", "ip", "link", "set", "site", "down")
                wait_for("its loss is seen", lambda: not plane.egress_present(), 2.0)
                net.run("isp", "ip", "link", "set", "site", "up")
                wait_for("it is back", plane.egress_present)
            finally:
                over.set()
            found = reading.result()
        assert plane.disturbances() == set()  # what was put back meanwhile, we put back ourselves
        return found

    assert net.inside("ha", beside_a_dump) == {CUSTOMERS}


def test_a_way_out_by_no_interface_is_refused_by_name(net: Net) -> None:
    with pytest.raises(DataPlaneError, match="no such interface: nowhere"):
        net.inside("ha", lambda: Egresses().put((Egress(GATEWAY[1], "nowhere"),)))
