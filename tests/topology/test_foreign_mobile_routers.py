"""Mobile routers that are not ours against the real `xsp-ha`: scapy's words, and UMIP's own packets octet for octet.

Our answers are judged as the foreign router would: tshark must read the same fields out of them, and UMIP's list of
what a Binding Acknowledgement must be to be taken is applied to each.
"""

import contextlib
import json
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6OptAltCoA,
    MIP6OptMNID,
    MIP6OptMobNetPrefix,
)

from mip6 import header
from mip6.messages import BindingAck, BindingUpdate
from mip6.mhsocket import Datagram, MobilitySocket
from mip6.numbers import ICMPV6, MOBILITY_HEADER, BindingAckFlag
from mip6.packet import destination_options, routed_packet
from mip6.wire import checksum
from tests.mip6.tshark import needs_tshark, read
from tests.office import office
from tests.topology.process import Office, poll, two_lines

pytestmark = pytest.mark.netns

UMIP: dict[str, list[dict[str, str]]] = json.loads(Path(__file__).with_name("umip.json").read_text())["exchanges"]
HOME_AGENT, HOME = IPv6Address("2001:db8:0:1::1").packed, IPv6Address("2001:db8:0:1::1000").packed


def trusting(home_address: str, prefix: str, care_of: str) -> dict[str, Any]:
    """A customer without authentication, with one line for whatever care-of address of `care_of`."""
    options = {"verify_care_of": True, "allow_nested": False, "require_authentication": False}
    [line, _] = two_lines()["uplinks"]
    uplinks = [{**line, "allowed_care_of": [care_of]}]
    return {
        **two_lines(),
        "home_address": home_address,
        "prefixes": [prefix],
        "keys": [],
        "uplinks": uplinks,
        "options": options,
    }


class Foreign(Office):
    """The foreign router sits in the provider's node, which has all its addresses."""

    abroad: MobilitySocket | None = None

    def close(self) -> None:
        super().close()
        if self.abroad is not None:
            self.abroad.close()

    def listen(self, *care_ofs: bytes) -> None:
        for care_of in care_ofs:
            self.net.run("isp", "ip", "-6", "addr", "replace", f"{IPv6Address(care_of)}/128", "dev", "lo", "nodad")
        self.abroad = self.net.inside("isp", lambda: MobilitySocket("mobile-router"))

    def send_as_it_is(self, octets: bytes) -> None:
        def out() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                raw.sendto(octets, (str(IPv6Address(octets[24:40])), 0))

        self.net.inside("isp", out)

    def heard(self, next_header: int) -> Datagram:
        abroad = self.abroad
        assert abroad is not None

        def look() -> Datagram | None:
            arrived = (one for ready in abroad.sockets for one in abroad.receive(ready))
            return next((one for one in arrived if one.next_header == next_header), None)

        found = poll(look, "an answer")
        assert isinstance(found, Datagram)
        return found


@pytest.fixture
def umip(tmp_path: Path) -> Iterator[Foreign]:
    with office() as net:
        net.run("isp", "ip", "route", "add", "2001:db8::/60", "via", "2001:db8:a::10")
        customer = trusting("2001:db8:0:1::1000", "2001:db8:0:a::/64", "2001:db8:0:f0::/60")
        with contextlib.closing(Foreign(net, tmp_path, customer, "2001:db8:0:1::1", "2001:db8::/60")) as made:
            yield made


def lives(mode: str) -> list[list[bytes]]:
    """What UMIP's router asked in one capture, from each of its starts to the next stop."""
    asked = [bytes.fromhex(one["hex"]) for one in UMIP[mode] if one["what"] in ("BU", "MPS", "DHAAD request")]
    found: list[list[bytes]] = [[]]
    for octets in asked:
        found[-1].append(octets)
        if octets[6] == MOBILITY_HEADER:  # back at home: without a Home Address option
            found.append([])
    return found


@pytest.mark.parametrize("life", [0, 1])
@pytest.mark.parametrize("mode", ["explicit", "implicit", "dhaad"])
def test_umips_packets_get_answers_that_umip_would_take(umip: Foreign, mode: str, life: int) -> None:
    asked = lives(mode)[life]
    umip.listen(*{octets[8:24] for octets in asked if octets[8:24] != HOME})
    for octets in asked:
        source, payload = octets[8:24], octets[40:]
        if octets[6] == ICMPV6:
            umip_learns_the_home_agent(umip, octets)
            continue
        if source == HOME:  # at home: its answer has nowhere to go, for there is no home link; but it counts
            umip.send_as_it_is(octets)
            poll(lambda: umip.status()["bindings"] == [] or not umip.status()["bindings"][0]["care_of"], "gone")
            continue
        _, next_header, offset = destination_options(payload)
        umip.send_as_it_is(octets)
        if next_header == ICMPV6:
            told = umip.heard(ICMPV6)
            assert told.home_address == HOME and checksum(HOME_AGENT, HOME, ICMPV6, told.octets) == 0
            assert (told.octets[0], told.octets[4:6]) == (147, payload[offset + 4 : offset + 6])
            continue
        update = header.decode(payload[offset:], HOME, HOME_AGENT)
        assert isinstance(update, BindingUpdate)
        answer = umip.heard(MOBILITY_HEADER)
        assert takes(answer, update, source)
        [binding] = umip.status()["bindings"]
        if update.lifetime_s:
            assert binding["prefixes"] == ["2001:db8:0:a::/64"]
            assert [line["care_of"] for line in binding["care_of"]] == [str(IPv6Address(source))]
        else:
            assert binding["care_of"] == []


def takes(answer: Datagram, update: BindingUpdate, care_of: bytes) -> bool:
    """UMIP's conditions for an acknowledgement, each of which it was seen to insist on."""
    ack = header.decode(answer.octets, answer.source, HOME)  # the checksum, with the home address as destination
    assert isinstance(ack, BindingAck)
    assert answer.source == HOME_AGENT and answer.destination == care_of
    assert answer.home_address == HOME
    assert ack.sequence == update.sequence
    assert ack.status == 0 and ack.flags & BindingAckFlag.MOBILE_ROUTER
    assert 0 < ack.lifetime_s <= update.lifetime_s if update.lifetime_s else ack.lifetime_s == 0
    return True


def umip_learns_the_home_agent(umip: Foreign, question: bytes) -> None:
    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        listener.settimeout(10)
        return listener

    with umip.net.inside("isp", listen) as listener:
        umip.send_as_it_is(question)
        while (octets := listener.recv(2000))[0] != 145:
            pass
    assert octets[4:6] == question[44:46] and octets[6] & 0x80
    assert octets[8:24] == HOME_AGENT


@needs_tshark
def test_scapys_update_is_answered_with_what_tshark_reads_the_same(tmp_path: Path) -> None:
    care_of = "2001:db8:1:c::20"
    customer = trusting("2001:db8:f000::51", "2001:db8:f100::/56", "2001:db8:1:c::/64")
    with office() as net, contextlib.closing(Office(net, tmp_path, customer)) as place:
        options = [
            MIP6OptAltCoA(acoa=care_of),
            MIP6OptMobNetPrefix(plen=56, prefix="2001:db8:f100::"),
            MIP6OptMNID(subtype=1, id="scapy@example.com"),
        ]
        # flags: A 0x40, H 0x20, R 0x02 of scapy's seven bits
        update = MIP6MH_BU(seq=4711, flags=0x62, reserved=0, mhtime=30, options=options)
        dst_options = IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:f000::51")])
        octets = bytes(IPv6(src=care_of, dst="2001:db8:f000::1") / dst_options / update)

        def out() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                raw.sendto(octets, ("2001:db8:f000::1", 0))

        net.inside("mr", out)

        def look() -> Datagram | None:
            arrived = (one for ready in place.sockets.sockets for one in place.sockets.receive(ready))
            return next(arrived, None)

        got = poll(look, "an acknowledgement")
    assert got.home_address is not None
    whole = routed_packet(got.source, got.destination, got.home_address, got.octets, MOBILITY_HEADER)
    fields = (
        "mip6.mhtype",
        "mip6.ba.status",
        "mip6.ba.seqnr",
        "mip6.ba.lifetime",
        "mip6.nemo.ba.r_flag",
        "mip6.mnid.identifier",
        "_ws.malformed",
    )
    [row] = read(tmp_path, [whole], fields)
    told = dict(zip(fields, row, strict=True))
    assert [int(value) for value in told["mip6.mhtype"] + told["mip6.ba.status"]] == [6, 0]
    assert [int(value, 0) for value in told["mip6.ba.seqnr"] + told["mip6.ba.lifetime"]] == [4711, 30]
    assert told["mip6.nemo.ba.r_flag"] == ["1"] and told["mip6.mnid.identifier"] == ["scapy@example.com"]
    assert told["_ws.malformed"] == []
