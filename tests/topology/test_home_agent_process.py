"""xsp-ha as a process, on real packets: what it refuses, drops and counts, and what a restart costs."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from dataplane.driver import Driver
from dataplane.plan import LAST_ID
from dataplane.self_test import DEVICE
from ha.operator import name
from mip6 import auth, header, packet
from mip6.messages import BindingError, BindingUpdate, UnknownMessage
from mip6.numbers import Status
from tests import tunnels
from tests.dataplane.test_relay import pump
from tests.ha.cast import (
    CARE_OF_1,
    HOME,
    HOME_AGENT,
    KEY,
    OTHER_MNP,
    OVERWRITE,
    REGISTRATION,
    both_lines,
)
from tests.office import udp
from tests.topology.process import DEADLINE_S, ROOT, Office, driver_line, poll

pytestmark = pytest.mark.netns


def test_a_registration_is_answered_by_an_authentic_acknowledgement_with_a_routing_header(place: Office) -> None:
    place.register()
    [binding] = place.status()["bindings"]
    assert [line["in_kernel"] for line in binding["care_of"]] == [True, True]
    assert place.status()["cache"]["different"] == 0


def test_a_status_shows_one_customer_and_says_who_is_none(place: Office) -> None:
    place.register()
    one = json.loads(place.ask_status("2001:db8:f000::51", "--json").stdout)
    assert [binding["home_address"] for binding in one["bindings"]] == ["2001:db8:f000::51"]
    assert len(one["bindings"][0]["care_of"]) == 2
    refused = place.ask_status("2001:db8:f000::999")
    assert (refused.returncode, "is no customer's home address here" in refused.stderr) == (1, True)
    assert place.ask_status("nonsense").returncode == 2


def test_a_foreign_prefix_is_refused_and_counted(place: Office) -> None:
    place.send(place.update(*both_lines(), prefixes=[OTHER_MNP]))
    assert place.ack().status == Status.NOT_AUTHORIZED_FOR_PREFIX
    assert place.counter("binding_updates_refused{142 prefix_not_authorized}") == 1
    assert place.status()["bindings"] == []


def test_a_replayed_update_is_refused_and_counted(place: Office) -> None:
    event = place.update(*both_lines(), flags=OVERWRITE)
    place.send(event)
    assert place.ack().status == Status.ACCEPTED
    place.send(event)
    assert place.ack().status == Status.ID_MISMATCH
    assert place.counter("binding_updates_refused{144 message_id_replayed}") == 1


def test_a_wrong_key_is_refused_and_counted(place: Office) -> None:
    place.router.key = auth.SecurityAssociation(256, "hmac-sha256-128", b"x" * 32)
    place.send(place.update(*both_lines()))
    assert place.ack().status == Status.AUTHENTICATION_FAILED
    assert place.counter("binding_updates_refused{146 authentication_failed}") == 1
    assert place.status()["bindings"] == []


def test_a_spoofed_inner_source_and_a_spoofed_outer_source_are_dropped_and_counted(place: Office) -> None:
    place.register()
    listener = place.net.inside("cn", lambda: _listener(7777))
    for outer, inner, arrives in (
        ("2001:db8:1:c::20", "2001:db8:f100::10", True),
        ("2001:db8:1:c::20", "2001:db8:f200::66", False),
        ("2001:db8:1:c::66", "2001:db8:f100::10", False),
    ):
        place.net.inside("mr", lambda outer=outer, inner=inner: _tunnelled(outer, inner))  # type: ignore[misc]
        assert _heard(listener) == arrives
    listener.close()
    assert place.counter("tunnel_packets{source_check}") == 2


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listener.bind(("::", port))
    listener.settimeout(0.7)
    return listener


def _heard(listener: socket.socket) -> bool:
    try:
        return bool(listener.recv(100))
    except TimeoutError:
        return False


def _tunnelled(outer: str, inner: str) -> None:
    """One UDP packet to the correspondent inside a packet to the home agent, both sources as given."""
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6

    octets = bytes(
        IPv6(src=outer, dst="2001:db8:f000::1") / IPv6(src=inner, dst="2001:db8:e::99") / UDP(dport=7777) / b"x"
    )
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        sender.sendto(octets, ("2001:db8:f000::1", 0))


def test_killing_and_restarting_loses_no_packet_and_no_binding(place: Office) -> None:
    place.register()
    saved = place.directory / "state" / "snapshot"
    poll(lambda: saved.exists() and HOME in saved.read_bytes(), "a snapshot with the binding")
    changes = place.directory / "changes"
    with open(changes, "wb") as log:
        words = ["ip", "netns", "exec", place.net.name("ha"), "ip", "-6", "monitor", "route", "nexthop"]
        monitor = subprocess.Popen(words, stdout=log)
    try:
        place.process.kill()
        place.process.wait()
        place.start()
        poll(lambda: place.status()["state"] == "READY", "ready again")
    finally:
        monitor.kill()
        monitor.wait()
    assert place.status()["cache"] == {"records": 1, "wanted": 1, "in_kernel": 1, "different": 0}
    assert [row["reason"] for row in place.status()["history"]].count("ready") >= 2, "the life before is told of, too"
    seen = changes.read_text()
    assert "2001:db8:f100::/56" not in seen and "2001:db8:f000::51" not in seen
    trial = f"Deleted id {LAST_ID} "  # the probe's own
    self_test = (DEVICE, " 100::")  # whose line is another one in each life
    deleted = [line for line in seen.splitlines() if line.startswith("Deleted")]
    deleted = [line for line in deleted if not any(word in line for word in self_test)]
    assert [line for line in deleted if not line.startswith(trial)] == []


def test_a_clean_restart_brings_every_binding_back_from_the_snapshot(place: Office) -> None:
    place.register()
    place.stop()
    place.start()
    poll(lambda: place.status()["cache"]["in_kernel"] == 1, "the binding is back")
    place.send(place.update(*both_lines()))
    assert place.ack().status == Status.ACCEPTED


def test_garbage_on_the_mobility_sockets_changes_nothing(place: Office) -> None:
    place.register()
    before = place.status()["bindings"]

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135) as bare:
            for size in range(1, 80, 3):
                # The kernel writes a checksum at offset 4 of what is long enough, so some of these even pass it.
                with contextlib.suppress(OSError):
                    bare.sendto(os.urandom(size), ("2001:db8:f000::1", 0))

    place.net.inside("mr", send)
    poll(lambda: sum(n for k, n in place.status()["counters"].items() if "malformed" in k) >= 10, "counted")
    after = place.status()
    assert [one["care_of"][0]["care_of"] for one in after["bindings"]] == [before[0]["care_of"][0]["care_of"]]
    assert not any(name.startswith("poison") for name in after["counters"])
    assert place.process.poll() is None


def test_two_lines_carry_traffic_to_the_office_when_its_router_answers(place: Office) -> None:
    """The real mobile router program against the real home agent program."""
    config = place.directory / "mr.toml"
    (place.directory / "mr.key").write_text(base64.b64encode(KEY.key).decode() + "\n")
    (place.directory / "mr.key").chmod(0o600)
    config.write_text(
        f"""
instance = "office1"
state_directory = "{place.directory}/mr-state"
run_directory = "{place.directory}/mr-run"
home_address = "2001:db8:f000::51"
home_agents = ["2001:db8:f000::1"]
prefixes = ["2001:db8:f100::/56"]
registration = "explicit"
lifetime_s = 300
mn_identifier = "office1@xsp.example"
lan_interface = "lan"
{driver_line()}
key = {{ spi = 256, algorithm = "hmac-sha256-128", secret_file = "mr.key" }}
uplink = [
  {{ bid = 1, name = "line1", interface = "line1", gateway = "2001:db8:1:c::1" }},
  {{ bid = 2, name = "line2", interface = "line2", gateway = "2001:db8:2:c::1" }},
]
"""
    )
    place.sockets.close()
    words = ["ip", "netns", "exec", place.net.name("mr"), sys.executable, "-m", "mr", "--config", str(config)]
    with open(place.directory / "mr.log", "wb") as log:
        process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
    try:
        poll(lambda: place.status()["cache"]["in_kernel"], "registered")
        assert poll(lambda: udp(place.net, "cn", "lan", "2001:db8:f100::10", range(20000, 20020)) == 20, "downwards")
        assert poll(lambda: udp(place.net, "lan", "cn", "2001:db8:e::99", range(20000, 20020)) == 20, "upwards")
        assert len(place.status()["bindings"][0]["care_of"]) == 2
        assert pump(place.net, [], "cn", "lan", "2001:db8:f100::10") < 20  # 1500 octets, and tunnels that carry 1460
        assert pump(place.net, [], "lan", "cn", "2001:db8:e::99") < 20
        assert tunnels.driver() == Driver.IP6TNL or place.counter("tunnel_errors{relayed}") >= 1
        place.net.run("mr", "ip", "link", "set", "line1", "down")
        poll(lambda: len(place.status()["bindings"][0]["care_of"]) == 1, "the dead line is deregistered over the other")
        assert udp(place.net, "cn", "lan", "2001:db8:f100::10", range(21000, 21020)) == 20
        assert udp(place.net, "lan", "cn", "2001:db8:e::99", range(21000, 21020)) == 20
        for node in ("isp", "mr"):
            place.net.run(node, "ip", "link", "set", "line2", "mtu", "1300")
        with contextlib.suppress(AssertionError):
            pump(place.net, [], "cn", "lan", "2001:db8:f100::10")
        if tunnels.driver() != Driver.IP6TNL:  # where the kernel itself tells the sender
            [narrow] = place.status()["narrow_lines"]
            assert (narrow["care_of"], narrow["mtu"]) == ("2001:db8:2:c::20", 1300)
        asked = [*words[:-2], "--config", str(config), "status"]
        poll(lambda: "line2: carries packets of 1300 octets at most" in place.net.run("mr", *asked[4:]), "said")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    poll(lambda: place.status()["cache"]["in_kernel"] == 0, "deregistered")


def test_a_second_instance_leaves_the_first_and_the_kernel_alone(place: Office) -> None:
    place.register()
    words = ["ip", "netns", "exec", place.net.name("ha"), sys.executable, "-m", "ha", "--config"]
    second = subprocess.run(
        [*words, str(place.config)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=20
    )
    assert (second.returncode, "another xsp-ha" in second.stderr) == (5, True)
    other = place.directory / "other.toml"
    text = place.config.read_text().replace(f"{place.directory}/run", f"{place.directory}/run2")
    other.write_text(text.replace(f"{place.directory}/state", f"{place.directory}/state2"))
    third = subprocess.run([*words, str(other)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert (third.returncode, "6275" in third.stderr) == (5, True)
    assert place.status()["cache"] == {"records": 1, "wanted": 1, "in_kernel": 1, "different": 0}


def test_a_start_that_fails_keeps_the_snapshot(place: Office) -> None:
    place.register()
    place.stop()
    saved = (place.directory / "state" / "snapshot").read_bytes()
    (place.directory / "customers.jsonl").rename(place.directory / "away")
    words = ["ip", "netns", "exec", place.net.name("ha"), sys.executable, "-m", "ha", "--config", str(place.config)]
    failed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert failed.returncode == 4
    assert (place.directory / "state" / "snapshot").read_bytes() == saved


def test_faults_are_answered_as_the_rfc_asks_straight_to_the_wire_source(place: Office) -> None:
    """RFC 6275 9.2: an unknown type draws a Binding Error, a wrong Payload Proto a Parameter Problem at that octet."""
    home_agent, care_of = HOME_AGENT, CARE_OF_1
    unknown = header.encode(UnknownMessage(99, bytes(10)), HOME, home_agent)
    wrong = bytearray(header.frame(BindingUpdate(7, REGISTRATION, 120)))
    wrong[0] = 6
    wrong_proto = header.with_checksum(bytes(wrong), HOME, home_agent)
    listener = place.net.inside("mr", _icmp_listener)
    for octets in (unknown, wrong_proto):
        update = packet.update_packet(care_of, home_agent, HOME, octets)
        place.net.inside("mr", lambda update=update: place.sockets.send(update, care_of))  # type: ignore[misc]
    error = poll(lambda: _binding_error(place), "a Binding Error")
    assert (error.status, error.home_address) == (2, HOME)
    problem = listener.recv(2000)
    listener.close()
    assert (problem[0], problem[1], int.from_bytes(problem[4:8], "big")) == (4, 0, 64)
    assert problem[8 + 8 : 8 + 24] == care_of


def _icmp_listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    only_parameter_problems = bytearray(b"\xff" * 32)  # ICMP6_FILTER: a set bit blocks the type
    only_parameter_problems[0] &= ~(1 << 4)
    listener.setsockopt(socket.IPPROTO_ICMPV6, 1, bytes(only_parameter_problems))
    listener.settimeout(DEADLINE_S)
    return listener


def _binding_error(place: Office) -> BindingError | None:
    for ready in place.sockets.sockets:
        for datagram in place.sockets.receive(ready):
            message = header.decode(datagram.octets, datagram.source, datagram.destination)
            if isinstance(message, BindingError):
                return message
    return None


def test_a_drained_site_stays_drained_over_a_restart_until_it_is_undrained(place: Office) -> None:
    def command(*more: str) -> None:
        words = [sys.executable, "-m", "ha", "--config", str(place.config), *more]
        assert subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=20).returncode == 0

    def reasons() -> list[str]:
        found: list[str] = place.status()["reasons"]
        return found

    poll(lambda: place.status()["state"] == "READY", "ready")
    command("drain", "--reason", "new disk")
    poll(lambda: f"drained by the operator {name()}: new disk" in reasons(), "drained")
    place.process.kill()
    place.process.wait()
    place.start()
    poll(lambda: f"drained by the operator {name()}: new disk" in reasons(), "still drained")
    command("depreference")
    poll(lambda: f"depreferenced by the operator {name()}" in reasons(), "depreferenced")
    command("undrain")
    poll(lambda: place.status()["state"] == "READY", "ready again")
    place.stop()
    place.start()
    poll(lambda: place.status()["state"] == "READY", "still in service")


def test_the_last_site_cannot_be_drained_and_the_wait_for_it_ends_with_the_reason(place: Office) -> None:
    poll(lambda: place.status()["state"] == "READY", "ready")
    words = [sys.executable, "-m", "ha", "--config", str(place.config), "drain", "--wait", "--timeout", "3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "brake: no other site is known to announce" in done.stdout
    assert "still serves after 3 s" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_recorded_run_can_be_replayed_and_a_full_disk_stops_nothing(place: Office) -> None:
    journal = place.directory / "journal.jsonl"
    place.stop()
    place.start("--journal", str(journal))
    place.register()
    place.stop()
    assert journal.stat().st_mode & 0o777 == 0o600
    words = [sys.executable, "-m", "ha", "--config", str(place.config), "replay"]
    done = subprocess.run([*words, str(journal)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    acks = [json.loads(line) for line in done.stdout.splitlines() if '"SendBindingAck"' in line]
    assert [ack["fields"]["ack"]["status"] for ack in acks] == [0]
    refused = subprocess.run(
        [*words, str(place.config)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert (refused.returncode, "line 1" in refused.stderr) == (1, True)
    place.start("--journal", "/dev/full")
    place.send(place.update(*both_lines(), flags=OVERWRITE))
    assert place.ack().status == Status.ACCEPTED
    assert place.counter("journal_lines_lost") > 5
