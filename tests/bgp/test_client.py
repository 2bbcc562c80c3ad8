"""The client of the home agent, against the real bridge process with the test in ExaBGP's place."""

import asyncio
import signal
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from bgp.client import LeaseClient, ask
from bgp.errors import Unanswered
from bgp.lease import Refusal
from bgp.route import Route
from tests.bgp.pipes import AGGREGATE, Exabgp, Holder


def client_routes() -> tuple[Route, ...]:
    return (Route(ip_network(AGGREGATE)),)


async def until(question: Any, deadline_s: float = 10.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not question():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_the_client_connects_by_itself_and_knows_what_is_confirmed(exabgp: Exabgp) -> None:
    async def scenario() -> None:
        client = LeaseClient(exabgp.socket)
        obedience = asyncio.get_running_loop().run_in_executor(None, exabgp.obey_until, "announce")
        while not client.sent:
            client.renew("announce", "ready", 1000, client_routes())
            await asyncio.sleep(0.05)
        assert (client.state, client.sent, client.connected) == ("announced", (AGGREGATE,), True)
        assert client.sessions[0].neighbour == "2001:db8:1:a::1"
        await obedience
        await client.close()
        assert not client.connected

    asyncio.run(scenario())
    assert "65535:0" in exabgp.obey_until("announce")


def test_an_answer_that_nests_deeply_is_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"[" * 10_000 + b"\n")

        server = await asyncio.start_unix_server(answer, tmp_path / "bridge.sock")
        with pytest.raises(Unanswered):
            await ask(tmp_path / "bridge.sock", {"ask": "status"}, 5)
        server.close()

    asyncio.run(scenario())


def test_a_client_that_is_not_called_loses_the_lease(exabgp: Exabgp) -> None:
    exabgp.start_up()

    async def scenario() -> None:
        client = LeaseClient(exabgp.socket)
        client.renew("announce", "ready", 1000, client_routes())
        await until(lambda: client.state == "announced")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, exabgp.obey_until, "announce")
        assert "65535:0" in await loop.run_in_executor(None, exabgp.obey_until, "announce")
        assert (await ask(exabgp.socket, {"ask": "status"}, 5))["reason"] == "the lease ran out"
        await client.close()

    asyncio.run(scenario())


def test_a_client_without_a_bridge_neither_blocks_nor_raises_and_its_wish_grows_stale(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = LeaseClient(tmp_path / "none.sock")
        for _ in range(5):
            client.renew("announce", "ready", 1000, client_routes())
            await asyncio.sleep(0)
        assert (client.state, client.connected, client.answer) == ("unknown", False, None)
        with pytest.raises(Unanswered) as caught:
            await ask(tmp_path / "none.sock", {"ask": "status"}, 1)
        assert caught.value.away
        await client.close()

    asyncio.run(scenario())


def test_a_stopped_bridge_gets_no_pile_of_old_wishes(exabgp: Exabgp) -> None:
    exabgp.start_up()

    async def scenario() -> None:
        client = LeaseClient(exabgp.socket)
        client.renew("announce", "ready", 1000, client_routes())
        await until(lambda: client.state == "announced")
        exabgp.bridge.send_signal(signal.SIGSTOP)
        for _ in range(20):
            client.renew("announce", "old", 1000, client_routes())
            await asyncio.sleep(0)
        client.renew("withdraw", "newest", 1000, ())
        exabgp.bridge.send_signal(signal.SIGCONT)
        await until(lambda: client.state == "withdrawn")
        status = await ask(exabgp.socket, {"ask": "status"}, 5)
        assert status["counters"]["renewals_total"] <= 5
        assert status["reason"] == "newest"
        await client.close()

    asyncio.run(scenario())


def test_a_refused_client_says_why_and_a_deaf_bridge_is_not_away(exabgp: Exabgp) -> None:
    exabgp.start_up()
    holder = Holder(exabgp.socket)

    async def scenario() -> None:
        answers: list[object] = []
        client = LeaseClient(exabgp.socket, on_answer=answers.append)
        while client.refusal is None:
            holder.renew()
            client.renew("announce", "ready", 1000, client_routes())
            await asyncio.sleep(0.05)
        assert "holds the lease" in client.refusal.error
        assert isinstance(answers[0], Refusal)
        await client.close()
        exabgp.bridge.send_signal(signal.SIGSTOP)
        with pytest.raises(Unanswered) as caught:
            await ask(exabgp.socket, {"ask": "status"}, 0.1)
        assert not caught.value.away
        exabgp.bridge.send_signal(signal.SIGCONT)

    asyncio.run(scenario())
    holder.close()
