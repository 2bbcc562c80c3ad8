"""mr.toml: what is accepted, what is refused and how clearly."""

import base64
from pathlib import Path

import pytest

from mr.config import ConfigurationError, parse, show
from mr.secret import association
from tests.mr.cast import CARE_OF, GATEWAY, HOME_ADDRESS, HOME_AGENT, PREFIX

TEXT = """
instance = "office1"
state_directory = "/var/lib/anycast-xsp/office1"
run_directory = "run"
home_address = "2001:db8:f000::51"
home_agents = ["2001:db8:f000::1"]
prefixes = ["2001:db8:f100::/56"]
registration = "explicit"
lifetime_s = 300
mn_identifier = "office1@xsp.example"
lan_interface = "lan"
[key]
spi = 256
algorithm = "hmac-sha256-128"
secret_file = "mr.key"
[[uplink]]
bid = 2
name = "line2"
interface = "line2"
weight = 3
priority = 1
[[uplink]]
bid = 1
name = "line1"
interface = "line1"
gateway = "2001:db8:1:c::1"
"""
FILE = Path("/etc/anycast-xsp/mr.toml")


def test_a_good_file_becomes_settings() -> None:
    configuration = parse(TEXT, FILE)
    settings = configuration.settings()
    assert (settings.home_address, settings.home_agent, settings.prefixes) == (HOME_ADDRESS, HOME_AGENT, (PREFIX,))
    assert settings.explicit
    assert [(line.bid, line.gateway, line.weight) for line in settings.lines] == [(1, GATEWAY[1], 1), (2, None, 3)]
    assert CARE_OF[1] not in [line.gateway for line in settings.lines]


def test_relative_paths_are_meant_from_the_files_directory() -> None:
    configuration = parse(TEXT, FILE)
    assert configuration.key.secret_file == FILE.parent / "mr.key"
    assert configuration.control_socket == FILE.parent / "run/control-mr.sock"


def test_the_canonical_form_reads_back_to_the_same() -> None:
    configuration = parse(TEXT, FILE)
    assert parse(show(configuration), FILE) == configuration


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("lifetime_s = 300", "lifetime_s = 5", "lifetime_s"),
        ("bid = 2", "bid = 0", "uplink[0].bid"),
        ("bid = 2", "bid = 1", ""),
        ("weight = 3", "wieght = 3", "uplink[0].wieght"),
        ("spi = 256", "spi = 3", "key.spi"),
        ('home_address = "2001:db8:f000::51"', "", "home_address"),
        ('"2001:db8:f100::/56"', '"2001:db8:f100::1/56"', "prefixes[0]"),
        ('lan_interface = "lan"', 'lan_interface = "line1"', ""),
        ('instance = "office1"', "instance = ", ""),
    ],
)
def test_a_bad_value_is_refused_with_file_key_and_remedy(before: str, after: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(TEXT.replace(before, after, 1), FILE)
    assert (caught.value.file, caught.value.key) == (FILE, key)
    assert caught.value.problem and caught.value.remedy


def _with_key(directory: Path, content: bytes, mode: int) -> Path:
    (directory / "mr.key").write_bytes(content)
    (directory / "mr.key").chmod(mode)
    return directory / "mr.toml"


def test_a_key_of_0600_is_read(tmp_path: Path) -> None:
    file = _with_key(tmp_path, base64.b64encode(bytes(range(32))) + b"\n", 0o600)
    assert association(parse(TEXT, file), file).key == bytes(range(32))


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [
        (base64.b64encode(bytes(32)), 0o640, "chmod 0600"),
        (b"hunter2-", 0o600, "Render"),
        (base64.b64encode(bytes(8)), 0o600, "Render"),
    ],
)
def test_a_key_that_others_can_read_or_that_is_none_is_refused(
    tmp_path: Path, content: bytes, mode: int, word: str
) -> None:
    file = _with_key(tmp_path, content, mode)
    with pytest.raises(ConfigurationError) as caught:
        association(parse(TEXT, file), file)
    assert word in caught.value.remedy
    assert content.decode() not in str(caught.value)
