"""Metrics: what a scrape finds, over a real control socket and real HTTP, and when nobody answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime import control, metrics, status
from runtime.exits import Exit
from runtime.gauge import Document, Gauge, one_of

COUNTERS = {"updates{accepted}": 3, "updates{refused}": 1, "starts_total": 2, "objects": 7}


def document() -> dict[str, object]:
    return status.document(
        program="xsp-ha",
        instance="site1",
        state="READY",
        since_s=1.5,
        reasons=["one"],
        counters=COUNTERS,
        healthy=False,
        sections={"peers": ["site2", "site3"]},
    )


def gauges(found: Document) -> Iterator[Gauge]:
    yield from one_of("state", "the state", "state", found["state"], ("INIT", "READY"))
    yield Gauge("objects", "what is there now", found["counters"]["objects"])
    for site in found["peers"]:
        yield Gauge("peer", "a peer", 1, {"site": site})


def scraped(socket: Path) -> dict[tuple[str, ...], float]:
    """Value by metric and labels, as Prometheus' own parser reads what came by HTTP."""
    collector = metrics.DaemonCollector("xsp-ha", lambda: metrics.ask(socket), gauges)
    address, port = metrics.serve(collector, "127.0.0.1:0")
    with urlopen(f"http://{address}:{port}/metrics", timeout=10) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    return {(sample.name, *sample.labels.values()): sample.value for one in families for sample in one.samples}


def test_a_scrape_finds_gauges_and_counters_under_the_program_s_name(tmp_path: Path) -> None:
    async def served() -> dict[tuple[str, ...], float]:
        path = tmp_path / "control.sock"
        server = await control.serve(path, {"status": lambda request: {**document(), "brief": request["brief"]}})
        found = await asyncio.to_thread(scraped, path)
        server.close()
        return found

    found = asyncio.run(served())
    assert found.pop(("xsp_ha_build_info", "site1", status.version())) == 1
    assert found == {
        ("xsp_ha_up",): 1,
        ("xsp_ha_healthy",): 0,
        ("xsp_ha_state_seconds",): 1.5,
        ("xsp_ha_reasons",): 1,
        ("xsp_ha_state", "INIT"): 0,
        ("xsp_ha_state", "READY"): 1,
        ("xsp_ha_objects",): 7,  # and no counter of that name, though it stands among them
        ("xsp_ha_peer", "site2"): 1,
        ("xsp_ha_peer", "site3"): 1,
        ("xsp_ha_updates_total", "accepted"): 3,
        ("xsp_ha_updates_total", "refused"): 1,
        ("xsp_ha_starts_total", ""): 2,
    }


def test_a_daemon_that_does_not_answer_is_down_and_nothing_else(tmp_path: Path) -> None:
    assert scraped(tmp_path / "nobody.sock") == {("xsp_ha_up",): 0}


def test_printing_the_metrics_of_a_dead_daemon_exits_as_unreachable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        metrics.export("xsp-ha", tmp_path / "nobody.sock", gauges, None)
    assert left.value.code == Exit.UNREACHABLE
    assert "xsp_ha_up 0.0" in capsys.readouterr().out


@pytest.mark.parametrize("listen", ["9627", "[::1]", "example.org:9627", "[::1]:port", "[::1]:99999", "192.0.2.1:9627"])
def test_an_address_of_no_use_is_told_in_two_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listen: str
) -> None:
    with pytest.raises(SystemExit) as left:
        metrics.export("xsp-ha", tmp_path / "nobody.sock", gauges, listen)
    assert left.value.code == Exit.USAGE
    assert "Name an address" in capsys.readouterr().err
