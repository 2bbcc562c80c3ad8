"""Namespaces, links and the ISPs: built whole, filtered, and gone without a trace."""

import socket
from pathlib import Path

import pytest

from lab import isp as provider
from lab import prerequisites
from lab.errors import LabError
from lab.lab import Lab
from lab.netns import NETNS, Network, command
from lab.poll import wait_until
from lab.topology import ISPS, ROUTER, Topology, reference
from runtime.exits import Exit

pytestmark = pytest.mark.netns
DEADLINE_S = 15.0
ISP_LINE1, CN1 = "2001:db8:1:c::1", "2001:db8:1:e::99"


def left_of(lab_id: str) -> list[Path]:
    return list(NETNS.glob(f"x{lab_id}-*"))


def test_a_lab_leaves_nothing_behind() -> None:
    with Lab() as lab:
        lab.build()
        assert len(left_of(lab.folder.id)) == len(lab.network.nodes)
        lab.processes.start("sleeper", "cn1", ["sleep", "1000"])
        mark = lab.folder.processes["sleeper"][1]
        assert mark.lives()
    assert left_of(lab.folder.id) == []
    assert not lab.folder.path.exists()
    assert not mark.lives()


def test_an_exception_in_the_middle_of_building_leaves_nothing_behind() -> None:
    topology = reference()
    broken = Topology("broken", topology.nodes, (*topology.links, topology.links[0]), topology.isps)
    network = Network("broken0", broken)
    with pytest.raises(LabError):
        network.build()
    assert left_of("broken0") == []


def test_a_name_in_use_is_refused_and_left_alone(lab: Lab) -> None:
    with pytest.raises(LabError) as refused:
        Network(lab.folder.id, reference()).build()
    assert refused.value.code == Exit.CONFLICT
    assert len(left_of(lab.folder.id)) == len(lab.network.nodes)


def test_two_labs_stand_side_by_side(lab: Lab) -> None:
    with Lab() as other:
        other.build()
        assert other.folder.id != lab.folder.id
    assert len(left_of(lab.folder.id)) == len(lab.network.nodes)


def test_this_kernel_can_carry_the_tunnels(lab: Lab) -> None:
    prerequisites.check()
    prerequisites.check_kernel(lab.network)


def received(lab: Lab, source: str) -> bool:
    """Whether a datagram that claims `source` gets from the line of the customer to a correspondent."""
    listener = lab.network.inside("cn1", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    sender = lab.network.inside(ROUTER, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    with listener, sender:
        listener.settimeout(0.5)
        listener.bind(("::", 47471))
        sender.bind((source, 0))
        sender.sendto(b"x", (CN1, 47471))
        try:
            return bool(listener.recv(10))
        except TimeoutError:
            return False


def test_an_isp_takes_only_the_lines_own_addresses_from_a_line(lab: Lab) -> None:
    spoofed = "2001:db8:f000::51"
    lab.network.configure(ROUTER, [f"route add default via {ISP_LINE1}", f"address add {spoofed}/128 dev line1 nodad"])
    assert received(lab, "2001:db8:1:c::20")
    assert not received(lab, spoofed)


def test_the_isps_reach_each_other_and_bfd_sees_a_silent_site(lab: Lab) -> None:
    block = (
        "router bgp {asn}\n neighbor 2001:db8:{n}:a::10 remote-as 64500\n neighbor 2001:db8:{n}:a::10 bfd\n"
        " neighbor 2001:db8:{n}:a::10 passive\nexit\nbfd\n peer 2001:db8:{n}:a::10\n  receive-interval 50\n"
        "  transmit-interval 50\n exit\nexit\n"
    )
    lab.start_isps(lambda site: block.format(n=site[-1], asn=f"6450{site[-1]}"))
    lab.wait_for_mesh()
    configuration = lab.folder.path / "bfdd.conf"
    configuration.write_text(
        "bfd\n peer 2001:db8:1:a::1 local-address 2001:db8:1:a::10 interface isp\n  receive-interval 50\n"
        "  transmit-interval 50\n exit\nexit\n"
    )
    directory = provider.frr_directory(lab.layout.folder / "frr", "site1")
    for daemon, file in (("zebra", Path("/dev/null")), ("bfdd", configuration)):
        lab.processes.start(f"site1-{daemon}", "site1", provider.frr_words(daemon, directory, file))
        wait_until(lambda vty=directory / f"{daemon}.vty": None if vty.exists() else f"no {vty}", DEADLINE_S)  # type: ignore[misc]

    def state_is(wanted: str) -> None:
        def missing() -> str | None:
            found = provider.bfd_state(lab.layout.frr("isp1"), "2001:db8:1:a::10")
            return None if found == wanted else f"BFD is {found}, not {wanted}"

        wait_until(missing, DEADLINE_S)

    state_is("up")
    lab.network.run(
        "site1", "nft", "add table ip6 t; add chain ip6 t c { type filter hook output priority 0; policy drop; }"
    )
    state_is("down")


def test_frrs_refusal_of_a_configuration_names_the_line(lab: Lab) -> None:
    with pytest.raises(LabError) as refused:
        lab.start_isps(lambda site: "router bgp nonsense\n")
    assert "nonsense" in refused.value.what


def test_a_link_that_is_cut_comes_back_with_its_addresses(lab: Lab) -> None:
    for state in ("down", "up"):
        lab.network.configure("isp1", [f"link set line1 {state}"])
    assert ISP_LINE1 in command("ip", "-n", lab.network.name("isp1"), "address", "show", "line1")
    assert len(ISPS) == 3
