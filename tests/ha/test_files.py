"""What the home agent reads and writes (table, configuration, snapshot, frames): what is broken is refused whole."""

import asyncio
import base64
import contextlib
import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ha import config, customer_table, frames, snapshot, snapshot_file
from ha.config import ConfigRefused
from ha.customer_table import TableRefused
from ha.frames import BadFrame, Hello, Identify, StateSyncAck, StateSyncReply, StateSyncRequest
from ha.record import same
from ha.site_plan import site_plan
from ha.snapshot import SnapshotRefused
from ha.snapshot_file import SnapshotFile
from runtime.counters import Counters
from tests.ha import configuration
from tests.ha.cast import HOME, MNP, Router, Site, both_lines

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ROW: dict[str, Any] = {
    "customer": "office1",
    "home_address": "2001:db8:f000::51",
    "prefixes": ["2001:db8:f100::/56"],
    "keys": [{"spi": 256, "algorithm": "hmac-sha256-128", "secret": "a2tra2tra2tra2tra2s=", "not_after": None}],
    "uplinks": [{"bid": 1, "name": "line1", "weight": 2, "priority": 0, "allowed_care_of": ["2001:db8:1:c::/64"]}],
    "state": "active",
    "limits": {},
    "options": {"verify_care_of": True, "allow_nested": False, "require_authentication": True},
}


def table(*rows: dict[str, Any] | bytes, **header: Any) -> bytes:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    rest = b"".join(line + b"\n" for line in lines)
    head: dict[str, Any] = {
        "format": 1,
        "version": 7,
        "set": "default",
        "generated_at": "2026-01-01T00:00:00Z",
        "count": len(rows),
        "sha256": hashlib.sha256(rest).hexdigest(),
    }
    head |= header
    head["signature"] = base64.b64encode(KEY.sign(customer_table.signed_octets(head))).decode()
    return json.dumps(head).encode() + b"\n" + rest


def test_a_table_is_read_in_full() -> None:
    read = customer_table.parse(table(ROW), PUBLIC, "default")
    customer = read.customers[HOME]
    assert read.version == 7
    assert (customer.name, customer.prefixes, customer.active) == ("office1", (MNP,), True)
    assert customer.uplinks[1].weight == 2
    assert "kkk" not in repr(customer)


def test_a_customers_limit_of_bids_is_a_number_or_nothing() -> None:
    for limits, expected in (({}, None), ({"bids": 0}, 0), ({"bids": 3}, 3)):
        assert (
            customer_table.parse(table({**ROW, "limits": limits}), PUBLIC, "default").customers[HOME].bids_max
            == expected
        )
    for bad in (-1, "3"):
        with pytest.raises(customer_table.TableRefused, match="limit"):
            customer_table.parse(table({**ROW, "limits": {"bids": bad}}), PUBLIC, "default")


def test_two_keys_are_good_while_one_takes_over_from_the_other() -> None:
    old, new = {**ROW["keys"][0], "not_after": "2026-01-02T00:00:00Z"}, {**ROW["keys"][0], "spi": 257}
    customer = customer_table.parse(table({**ROW, "keys": [old, new]}), PUBLIC, "default").customers[HOME]
    change = 1767312000.0
    assert customer.association(256, change - 1) and customer.association(257, change - 1)
    assert customer.association(256, change) is None and customer.association(257, change)


def test_a_customer_without_authentication_must_say_where_its_care_of_addresses_lie() -> None:
    options = {**ROW["options"], "require_authentication": False}
    assert customer_table.parse(table({**ROW, "options": options}), PUBLIC, "default").customers
    anywhere = [{**ROW["uplinks"][0], "allowed_care_of": []}]
    for uplinks in (anywhere, []):
        with pytest.raises(customer_table.TableRefused, match="allowed_care_of"):
            customer_table.parse(table({**ROW, "options": options, "uplinks": uplinks}), PUBLIC, "default")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "not JSON"),
        (table(ROW)[:-20], "digest"),
        (table(ROW).replace(b"office1", b"office2"), "digest"),
        (table(ROW, format=2), "format"),
        (table(ROW, set="east"), "set"),
        (table({**ROW, "keys": [{**ROW["keys"][0], "not_after": "2026-01-02T00:00:00"}]}), "time zone"),
        (table(ROW, count=2), "announces"),
        (table(ROW).replace(b'"version": 7', b'"version": 8'), "signature"),
        (table(ROW, ROW), "same home address"),
        (table({**ROW, "prefixes": ["2001:db8:f100::1/56"]}), "line 2"),
        (table({key: value for key, value in ROW.items() if key != "keys"}), "line 2"),
    ],
)
def test_a_table_that_is_not_whole_and_signed_is_refused(octets: bytes, why: str) -> None:
    with pytest.raises(TableRefused, match=why):
        customer_table.parse(octets, PUBLIC, "default")


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_a_table_that_nests_deeply_is_refused_wherever_it_does() -> None:
    """Symptom: such a first line, of a file that nobody had signed, ended a site that forwarded."""
    deepest = sys.getrecursionlimit()
    for depth in (*range(deepest - 100, deepest + 10), 100_000):  # where reading it works, the signature's turn comes
        with pytest.raises(TableRefused):
            customer_table.parse(table(ROW).replace(b"{", b'{"later": ' + nested(depth) + b",", 1), PUBLIC, "default")
    row = json.dumps(ROW).encode().replace(b"{", b'{"later": ' + nested(100_000) + b",", 1)
    with pytest.raises(TableRefused, match="line 2"):
        customer_table.parse(table(row), PUBLIC, "default")


@given(st.binary(max_size=300))
def test_any_octets_are_a_table_or_refused(octets: bytes) -> None:
    with pytest.raises(TableRefused):
        customer_table.parse(octets, PUBLIC, "default")


CONFIG = f"""
instance = "site1"
state_directory = "/var/lib/anycast-xsp/site1"
run_directory = "/run/anycast-xsp/site1"
customer_table = "/etc/anycast-xsp/site1/customers.jsonl"
table_public_key = "{base64.b64encode(PUBLIC).decode()}"
locator = "2001:db8:1:a::10"
home_agent_address = "2001:db8:f000::1"
aggregates = ["2001:db8:f000::/36"]
[[egress]]
gateway = "2001:db8:1:a::1"
interface = "isp"
[[peer]]
site = "site2"
locator = "2001:db8:2:a::10"
[tls]
authority = "/etc/anycast-xsp/site1/ca.pem"
certificate = "/etc/anycast-xsp/site1/site.pem"
key = "/etc/anycast-xsp/site1/site.key"
revoked = "/etc/anycast-xsp/site1/revoked.pem"
[bgp]
lease_socket = "/run/anycast-xsp/site1/lease.sock"
[[bgp.route]]
prefix = "2001:db8:f000::/36"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ha.toml"
    path.write_text(text)
    return path


def without_tls(text: str) -> str:
    before, _, after = text.partition("[tls]")
    return before + "[bgp]" + after.partition("[bgp]")[2]


def test_plain_tcp_between_sites_is_spoken_only_if_asked_for(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, CONFIG)).transport == "tls"
    asked = config.load(written(tmp_path, 'transport = "plain"' + without_tls(CONFIG)))
    assert (asked.transport, asked.tls) == ("plain", None)


def test_a_configuration_becomes_the_rules_of_the_site(tmp_path: Path) -> None:
    policy = configuration.load(written(tmp_path, CONFIG)).policy(b"k")
    assert (policy.site, policy.acknowledge, len(policy.locators)) == ("site1", "any", 2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: "", "instance"),
        (lambda text: text + "\nfoo = 1", "foo"),
        (lambda text: text + "[", "TOML"),
        (lambda text: text.replace("f000::1", "1::1"), "none of the aggregates"),
        (
            lambda text: text.replace('locator = "2001:db8:1:a::10"', 'locator = "2001:db8:f000::9"'),
            "inside an aggregate",
        ),
        (lambda text: text.replace('site = "site2"', 'site = "site1"'), "named once"),
        (lambda text: text.replace('prefix = "2001:db8:f000::/36"', 'prefix = "2001:db8:f100::/56"'), "no aggregate"),
        (lambda text: text.replace('instance = "site1"', 'instance = "../x"'), "instance"),
        (without_tls, "xsp site issue-certificate site1"),
        (lambda text: 'transport = "plain"' + text, "transport"),
        (lambda text: text.replace('key = "/etc', 'kee = "/etc'), "tls"),
    ],
)
def test_a_wrong_configuration_is_refused_by_the_name_of_its_key(
    tmp_path: Path, change: Callable[[str], str], why: str
) -> None:
    with pytest.raises(ConfigRefused) as refused:
        config.load(written(tmp_path, change(CONFIG)))
    assert why in refused.value.why


def test_a_missing_configuration_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match="cannot be read"):
        config.load(tmp_path / "nothing.toml")


def served_site() -> Site:
    site = Site()
    site.feed(Router().update(100.0, both_lines()), 100.0)
    return site


def test_a_snapshot_brings_records_back_with_the_time_taken_off(tmp_path: Path) -> None:
    site = served_site()
    snapshot.save(tmp_path, 1000.0, [snapshot.piece(site.agent.snapshot(100.0))])
    later = Site()
    wanted = later.agent.recover(snapshot.load(tmp_path, 1050.0), {}, 0.0)
    assert wanted == {HOME: site.plane.read()[HOME]}
    record = later.agent.cache.records[HOME]
    assert same(record, site.agent.cache.records[HOME])
    assert {round(cell.expires_at) for cell in record.cells.values()} == {70}


def test_a_snapshot_that_takes_many_turns_of_the_loop_has_all_records_in_order(tmp_path: Path) -> None:
    [record] = served_site().agent.snapshot(100.0)
    homes = [bytes(12) + place.to_bytes(4, "big") for place in range(2 * snapshot_file.RECORDS_A_TURN + 1)]
    site, counters = Site(), Counters()
    site.agent.recover([msgspec.structs.replace(record, home_address=home) for home in homes], {}, time.monotonic())
    asyncio.run(SnapshotFile(tmp_path, counters).save(site.agent))
    assert [one.home_address for one in snapshot.load(tmp_path, time.time())] == homes
    assert SnapshotFile(tmp_path, counters).load()[1] == 0


def test_what_expired_meanwhile_is_not_brought_back(tmp_path: Path) -> None:
    snapshot.save(tmp_path, 1000.0, [snapshot.piece(served_site().agent.snapshot(100.0))])
    assert Site().agent.recover(snapshot.load(tmp_path, 1121.0), {}, 0.0) == {}


def test_a_cut_or_changed_snapshot_is_refused_and_none_is_no_error(tmp_path: Path) -> None:
    assert snapshot.load(tmp_path, 0.0) == []
    snapshot.save(tmp_path, 1000.0, [snapshot.piece(served_site().agent.snapshot(100.0))])
    path = tmp_path / snapshot.FILE
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[: len(whole) // 2], whole[:-1] + b"?", b"x"):
        path.write_bytes(broken)
        with pytest.raises(SnapshotRefused):
            snapshot.load(tmp_path, 1000.0)


def test_a_snapshot_that_nests_deeply_is_refused(tmp_path: Path) -> None:
    head = b"\x81\xa5later" + b"\x91" * 100_000 + b"\xc0"
    body = len(head).to_bytes(4, "big") + head
    (tmp_path / snapshot.FILE).write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    with pytest.raises(SnapshotRefused):
        snapshot.load(tmp_path, 1000.0)


def test_a_snapshot_that_a_full_disk_cuts_short_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    """Written in place, the first full disk would have cost the site all that it knew at its next start."""
    records = served_site().agent.snapshot(100.0)
    snapshot.save(tmp_path, 1000.0, [snapshot.piece(records)])
    room, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, most))  # the kernel then refuses the 201st octet of any file
        with pytest.raises(OSError, match="too large"):
            snapshot.save(tmp_path, 2000.0, [snapshot.piece(records)] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    assert snapshot.load(tmp_path, 1000.0) == records
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.FILE]


@pytest.mark.parametrize(
    "frame",
    [
        Identify(1, 1, "site1", 77, "changes"),
        StateSyncRequest(77, 5),
        StateSyncReply(9, tuple(served_site().agent.snapshot(100.0)), True),
        StateSyncAck(9),
        Hello(1 << 63, "ANNOUNCED", "announced", True, 3),
    ],
)
def test_a_frame_survives_the_stream(frame: frames.Frame) -> None:
    octets = frames.encode(frame)
    assert int.from_bytes(octets[:4], "big") == len(octets) - 4
    assert frames.decode(octets[4:]) == frame


@given(st.binary(max_size=200))
def test_any_octets_are_a_frame_or_refused(octets: bytes) -> None:
    with contextlib.suppress(BadFrame):
        frames.decode(octets)


def test_a_table_may_give_a_customer_networks_of_ipv4() -> None:
    row = {**ROW, "prefixes": ["2001:db8:f100::/56", "203.0.113.0/26"]}
    read = customer_table.parse(table(row), PUBLIC, "default")
    assert read.customers[HOME].prefixes == (MNP, (bytes((203, 0, 113, 0)), 26))
    with pytest.raises(TableRefused, match="line 2"):
        customer_table.parse(table({**ROW, "prefixes": ["203.0.113.1/26"]}), PUBLIC, "default")


def test_forwarding_is_configured_and_the_locators_are_closed_without_saying_so(tmp_path: Path) -> None:
    more = '[forwarding]\nclosed = ["2001:db8:a::/64", "10.0.0.0/8"]\nclamp_mss = true\nline_mtu = 1492\n'
    assert site_plan(configuration.load(written(tmp_path, CONFIG))).clamp_mtu == 0
    plan = site_plan(configuration.load(written(tmp_path, CONFIG + more)))
    assert plan.clamp_mtu == 1492
    assert [(len(prefix.network), prefix.length) for prefix in plan.closed] == [(16, 128), (16, 128), (16, 64), (4, 8)]
    with pytest.raises(ConfigRefused, match="line_mtu"):
        config.load(written(tmp_path, CONFIG + "[forwarding]\nline_mtu = 1319\n"))
