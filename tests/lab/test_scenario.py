"""Scenarios as data: what comes with the lab can be read, and every mistake is named with its place."""

from typing import Any

import pytest

from lab.errors import LabError
from lab.scenario import SCENARIOS, Expectation, ProbeStream, Step, find, load, parse
from runtime.exits import Exit

PROBE = {"from": "cn1", "to": "lan1", "rate_hz": 200}


def document(**changes: Any) -> dict[str, Any]:
    return {"name": "test", "probe": [PROBE], "step": [{"do": "cut", "on": "line1"}], **changes}


def test_a_scenario_is_parsed_to_values() -> None:
    expect = {
        "shift_ms_max": 300,
        "loss_max": "shift",
        "serves": "site1",
        "line": ["!line1", "line2"],
        "stays": "site2",
    }
    found = parse(document(step=[{"do": "cut", "on": "line1", "at_s": 1.5, "expect": expect}]), "test")
    assert found.probes == (ProbeStream("cn1", "lan1", 200.0),)
    expected = Expectation(300.0, None, True, ("site1",), ("!line1", "line2"), stays=("site2",))
    assert found.steps == (Step(1.5, "cut", ("line1",), expected),)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_of_the_lab_is_valid_and_named_like_its_file(path: Any) -> None:
    assert load(path).name == path.stem
    assert find(path.stem) == path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": 7}, "name = 7"),
        ({"surprise": 1}, "unknown key surprise"),
        ({"topology": "ring"}, "'ring' is unknown"),
        ({"probe": []}, "at least one probe"),
        ({"probe": [{**PROBE, "to": "cn1"}]}, "probe 1: from and to"),
        ({"probe": [{**PROBE, "rate_hz": 0}]}, "rate_hz"),
        ({"step": [{"do": "explode", "on": "site1"}]}, "step 1: do = 'explode'"),
        ({"step": [{"do": "cut", "on": "cn1"}]}, "cut does not work on 'cn1'"),
        ({"step": [{"do": "cut", "on": ["site1", "site1"]}]}, "cut does not work on 'site1, site1'"),
        ({"step": [{"do": "kill"}]}, "kill does not work on ''"),
        ({"step": [{"do": "kill", "on": [1]}]}, "wrong type"),
        ({"step": [{"do": "start", "on": "site1", "process": "bridge"}]}, "process 'bridge'"),
        ({"step": [{"do": "kill", "on": "site1", "process": ["xsp-ha", "init"]}]}, "process 'xsp-ha, init'"),
        ({"step": [{"do": "wait", "expect": {"announced": "cn1"}}]}, "announced = 'cn1'"),
        ({"topology": "failover"}, "probe 1: from and to are two of cn4, lan1"),
        ({"step": [{"do": "kill", "on": "line1"}]}, "kill does not work on 'line1'"),
        ({"step": [{"do": "kill", "on": "site1", "process": "init"}]}, "process 'init'"),
        ({"step": [{"do": "delay", "on": "site1"}]}, "delay does not work on 'site1'"),
        ({"step": [{"do": "wait", "at_s": 2}, {"do": "wait", "at_s": 1}]}, "order of at_s"),
        ({"step": [{"do": "wait", "expect": {"loss_max": "none"}}]}, 'a number or "shift"'),
        ({"step": [{"do": "wait", "expect": {"serves": "site9"}}]}, "serves = 'site9'"),
        ({"step": [{"do": "wait", "expect": {"stays": "!site1"}}]}, "stays takes no name with !"),
        ({"step": [{"do": "wait", "expect": {"loss_max": True}}]}, "wrong type"),
    ],
)
def test_a_mistake_is_a_usage_error_that_names_its_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError) as refused:
        parse(document(**changes), "test.toml")
    assert words in refused.value.what
    assert refused.value.what.startswith("test.toml")
    assert refused.value.code == Exit.USAGE


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError) as refused:
        find("no-such-thing")
    assert "line-cut" in refused.value.remedy
    assert refused.value.code == Exit.USAGE
