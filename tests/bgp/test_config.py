"""bgp.toml: what it says, what is refused, and its canonical form; `xsp-bgp -n`."""

from pathlib import Path

import pytest

from bgp import config
from bgp.__main__ import main
from bgp.bridge import read_settings
from bgp.errors import BgpError

TEXT = """
instance = "site1"
state_directory = "/var/lib/anycast-xsp/site1"
run_directory = "/run/anycast-xsp/site1"
lease_socket = "/run/anycast-xsp/site1/lease.sock"
exabgp_configuration = "exabgp.conf"
aggregates = ["2001:db8:f000::/36"]
user = "nobody"
bfd_configuration = "bfdd.conf"
[fellows]
locator = "2001:db8:1:a::10"
key_file = "cookie.key"
[[fellows.site]]
name = "site2"
locator = "2001:db8:2:a::10"
[[neighbour]]
address = "2001:db8:1:a::1"
as = 64501
mrai_s = 5
"""


def test_relative_paths_start_at_the_file() -> None:
    parsed = config.parse(TEXT, Path("/etc/anycast-xsp/site1"))
    assert parsed.exabgp_configuration == Path("/etc/anycast-xsp/site1/exabgp.conf")
    assert parsed.bfd_configuration == Path("/etc/anycast-xsp/site1/bfdd.conf")
    assert parsed.fellows is not None
    assert parsed.fellows.key_file == Path("/etc/anycast-xsp/site1/cookie.key")
    assert parsed.bridge_socket == Path("/run/anycast-xsp/site1/bridge/lease.sock")


def test_the_canonical_form_says_the_same() -> None:
    parsed = config.parse(TEXT, Path("/etc"))
    assert config.parse(config.show(parsed), Path("/elsewhere")) == parsed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("instance", "instanse"),
        ('["2001:db8:f000::/36"]', "[]"),
        ('["2001:db8:f000::/36"]', '["2001:db8:f000::1/36"]'),
        ('["2001:db8:f000::/36"]', '["2001:db8:f000::/36", "2001:DB8:f000:0::/36"]'),
        ("64501", "0"),
        ("[[neighbour]]", '[[neighbour]]\naddress = "2001:db8:1:a::1"\nas = 64502\n[[neighbour]]'),
        ("lease.sock", "l" * 100),
        ("instance", "instance ="),
        ('user = "nobody"', "deaf_after_s = 0"),
        ('user = "nobody"', "orphan_hold_s = -1"),
        ('name = "site2"', 'name = "site1"'),
        ("[[fellows.site]]", '[[fellows.site]]\nname = "site2"\nlocator = "2001:db8:3:a::10"\n[[fellows.site]]'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(old: str, new: str) -> None:
    with pytest.raises(BgpError) as caught:
        config.parse(TEXT.replace(old, new), Path("/etc"))
    assert caught.value.remedy


def test_the_bridge_reads_the_same_values_without_pydantic(tmp_path: Path) -> None:
    (tmp_path / "bgp.toml").write_text(TEXT)
    parsed, settings = config.load(tmp_path / "bgp.toml"), read_settings(tmp_path / "bgp.toml")
    assert (settings.lease_socket, settings.aggregates) == (parsed.lease_socket, parsed.prefixes)
    assert (settings.orphan_hold_s, settings.hold_down_max_s) == (parsed.orphan_hold_s, parsed.hold_down_max_s)
    assert settings.failback_s == parsed.failback_s
    assert [terms.mrai_s for terms in settings.neighbours] == [one.mrai_s for one in parsed.neighbour] == [5]


def test_checking_prints_nothing_or_the_canonical_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bgp.toml"
    file.write_text(TEXT)
    assert main(["--config", str(file), "-n"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["run", "--config", str(file), "-n", "-v"]) == 0
    assert capsys.readouterr().out == config.show(config.load(file))
    assert main(["bridge", "--config", str(file), "-n"]) == 0


def test_an_error_is_two_sentences_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(tmp_path / "none.toml"), "-n"])
    assert caught.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_status_without_a_daemon_exits_with_3(tmp_path: Path) -> None:
    file = tmp_path / "bgp.toml"
    file.write_text(TEXT.replace("/run/anycast-xsp/site1", str(tmp_path)))
    with pytest.raises(SystemExit) as caught:
        main(["status", "--config", str(file)])
    assert caught.value.code == 3


def test_a_command_line_that_is_none_exits_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["shout", "--config", "x"])
    assert caught.value.code == 2


def test_a_neighbours_own_attributes_are_read_and_shown() -> None:
    own = 'communities = ["64500:1", "64500:1:2"]\nprepend = 2\nmed = 7\n'
    [neighbour] = config.parse(TEXT + own, Path("/etc")).neighbour
    assert (neighbour.communities, neighbour.prepend, neighbour.med) == (("64500:1", "64500:1:2"), 2, 7)
    parsed = config.parse(TEXT + own, Path("/etc"))
    assert config.parse(config.show(parsed), Path("/etc")) == parsed
    for wrong in ('communities = ["64500"]', "prepend = 17", "med = -1"):
        with pytest.raises(BgpError):
            config.parse(TEXT + wrong, Path("/etc"))


def test_a_prefix_of_the_other_family_needs_a_next_hop_of_that_family() -> None:
    over_v4 = TEXT.replace('address = "2001:db8:1:a::1"', 'address = "192.0.2.1"')
    with pytest.raises(BgpError, match="next_hop") as refused:
        config.parse(over_v4, Path("/etc"))
    assert "192.0.2.1" in refused.value.what
    with pytest.raises(BgpError, match="next_hop"):
        config.parse(over_v4 + 'next_hop = "192.0.2.9"\n', Path("/etc"))
    parsed = config.parse(over_v4 + 'next_hop = "2001:db8:1:a::10"\n', Path("/etc"))
    assert config.parse(config.show(parsed), Path("/etc")) == parsed


def test_an_aggregate_that_no_neighbour_would_hear_is_refused() -> None:
    both = TEXT.replace('aggregates = ["', 'aggregates = ["198.51.100.0/24", "')
    with pytest.raises(BgpError, match=r"198\.51\.100\.0/24 would be announced to nobody"):
        config.parse(both, Path("/etc"))
    config.parse(both + '[[neighbour]]\naddress = "192.0.2.1"\nas = 64501\n', Path("/etc"))
    config.parse(both + 'next_hop = "192.0.2.10"\n', Path("/etc"))
