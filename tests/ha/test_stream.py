"""Who is let in by a home agent, and who is not: every wrong caller over a real socket, beside a peer that talks on."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

import msgspec
import pytest
import structlog

from ha import frames
from ha.events import HelloReceived, PeerIdentified
from ha.frames import RECORDS_MAX, Frame, Identify, StateSyncAck, StateSyncReply, StateSyncRequest
from ha.peerlink import GREETINGS_MAX, RATES
from ha.stream import GREETING_MAX_BYTES, units
from tests.certificates import YEAR, Authority
from tests.ha.links import HELLO, STRANGER, TWO, Caller, End, call, identify, listener, play, until
from tests.ha.test_peerlink import record

TLS_1_2 = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"  # the beginning of a ClientHello that goes wrong


@dataclass(frozen=True)
class Wrong:
    """A caller: with what it calls, from where, what it says; what it is counted as."""

    proof: Callable[[Authority], ssl.SSLContext | None]
    counted: str
    said: tuple[Frame, ...] = (identify("site2"),)
    octets: bytes = b""
    source: IPv6Address = TWO


def good(ca: Authority) -> ssl.SSLContext:
    return ca.site("site2").dialing


def of_another_authority(ca: Authority) -> ssl.SSLContext:
    context = Authority(ca.directory / "other").site("site2").dialing
    context.load_verify_locations(cafile=ca.certificate)  # it believes us, but shows its own
    context.load_verify_locations(cafile=ca.revoked)
    return context


def expired(ca: Authority) -> ssl.SSLContext:
    return ca.site("site2", days=300, ago=YEAR).dialing


def early(ca: Authority) -> ssl.SSLContext:
    return ca.site("site2", ago=datetime.timedelta(days=-3)).dialing


def revoked(ca: Authority) -> ssl.SSLContext:
    issued = ca.issue("site2")
    proof = ca.load("site2").dialing
    ca.revoke(issued)
    return proof


def of_another_site(ca: Authority) -> ssl.SSLContext:
    return ca.site("site3").dialing


def without_certificate(ca: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cafile=ca.certificate)
    return context


def old_tls(ca: Authority) -> ssl.SSLContext:
    context = ca.site("site2").dialing
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def no_tls(_: Authority) -> None:
    return None


TOO_LARGE = (frames.MAX_FRAME_BYTES + 1).to_bytes(4, "big")
WRONG = {
    "from an unknown locator": Wrong(good, "peers_refused{unknown_locator}", source=STRANGER),
    "without TLS": Wrong(no_tls, "peers_refused{no_tls}"),
    "with a broken handshake": Wrong(no_tls, "peers_refused{no_tls}", (), TLS_1_2),
    "with TLS 1.2": Wrong(old_tls, "peers_refused{no_tls}"),
    "without a certificate": Wrong(without_certificate, "peers_refused{no_certificate}"),
    "with another authority's certificate": Wrong(of_another_authority, "peers_refused{not_of_our_authority}"),
    "with an expired certificate": Wrong(expired, "peers_refused{expired}"),
    "with a certificate of the future": Wrong(early, "peers_refused{not_yet_valid}"),
    "with a revoked certificate": Wrong(revoked, "peers_refused{revoked}"),
    "with another site's certificate": Wrong(of_another_site, "peers_refused{another_name}"),
    "under another site's name": Wrong(good, "peers_refused{another_name}", (identify("site3"),)),
    "of a later protocol": Wrong(good, "peers_refused{protocol}", (Identify(8, 9, "site2", 1, "changes"),)),
    "without a name": Wrong(good, "peers_cut_off{bad_frame}", (StateSyncAck(1),)),
    "with a name too long": Wrong(good, "peers_cut_off{bad_frame}", (identify("s" * GREETING_MAX_BYTES),)),
    "to carry something else": Wrong(good, "peers_cut_off{bad_frame}", (identify("site2", "gossip"),)),
    "with garbage": Wrong(good, "peers_cut_off{bad_frame}", (), b"\0\0\0\4abcd"),
}
NO_UTF_8 = b"\0\0\0\x0b\x82\xa4type\xa2\xff\xff\xa1a\x01"
# Those whose name is good are heard of before they go wrong.
WRONG_LATER = {
    "with a frame too large": Wrong(good, "peers_cut_off{bad_frame}", octets=TOO_LARGE),
    "with garbage": Wrong(good, "peers_cut_off{bad_frame}", octets=b"\0\0\0\4abcd"),
    "with text that is none": Wrong(good, "peers_cut_off{bad_frame}", octets=NO_UTF_8),
    "with an acknowledgement": Wrong(good, "peers_cut_off{bad_frame}", (identify("site2"), StateSyncAck(1))),
    "with HELLO among changes": Wrong(good, "peers_cut_off{bad_frame}", (identify("site2"), HELLO)),
    "with records in one frame beyond number": Wrong(
        good,
        "peers_cut_off{bad_frame}",
        (identify("site2"), StateSyncReply(1, (record(1),) * (RECORDS_MAX + 1), True)),
    ),
}


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def among_others(ca: Authority, act: Callable[[End, AsyncExitStack], Awaitable[None]]) -> None:
    """Let site1 and site3 talk, act on site1, and see that they talk on over the same streams."""

    async def scenario(stage: AsyncExitStack) -> None:
        three = await End("site3", ca.site("site3"), "site1").start(stage)
        one = await End("site1", ca.site("site1"), "site2", "site3").start(stage)
        await one.until(PeerIdentified("site3", 77))
        await until(lambda: all(three.link.connected().values()), "streams")
        await act(one, stage)
        before = len(one.heard)
        while not any(isinstance(event, HelloReceived) for event in one.heard[before:]):
            three.link.hello(HELLO)
            await asyncio.sleep(0.01)
        assert one.heard.count(PeerIdentified("site3", 77)) == 1

    play(scenario)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_caller_that_is_not_our_peer_is_counted_and_not_heard(ca: Authority, wrong: Wrong) -> None:
    proof = wrong.proof(ca)

    async def act(one: End, stage: AsyncExitStack) -> None:
        one.link.renew(ca.load("site1"))
        await rejected(one, stage, wrong, proof)
        assert not [event for event in one.heard if getattr(event, "site", "site3") != "site3"]

    among_others(ca, act)


@pytest.mark.parametrize("wrong", WRONG_LATER.values(), ids=WRONG_LATER)
def test_a_peer_that_talks_nonsense_is_cut_off_and_nothing_of_it_is_heard(ca: Authority, wrong: Wrong) -> None:
    proof = wrong.proof(ca)

    async def act(one: End, stage: AsyncExitStack) -> None:
        await rejected(one, stage, wrong, proof)
        from_two = [event for event in one.heard if getattr(event, "site", "") == "site2"]
        assert from_two in ([PeerIdentified("site2", 1)], [])

    among_others(ca, act)


async def rejected(one: End, stage: AsyncExitStack, wrong: Wrong, proof: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):  # most are turned away in the handshake
        said = list(wrong.said)
        if wrong.octets and not said:
            caller = await call(stage, wrong.source, proof, octets=wrong.octets)
        else:
            caller = await call(stage, wrong.source, proof, *said, octets=wrong.octets)
        await caller.until_cut()
    await until(lambda: wrong.counted in one.counters.as_dict(), f"{wrong.counted} in {one.counters.as_dict()}")
    assert one.counters.as_dict() == {wrong.counted: 1}


def test_whoever_asks_for_everything_again_and_again_is_heard_twice_a_second() -> None:
    """The question has 40 octets, the answer may be all records: the pace of octets alone would let 26,000 through."""
    assert units(StateSyncRequest(0, 0)) >= RATES["dialed"] / 2


def test_a_later_release_that_still_speaks_our_protocol_is_let_in(ca: Authority) -> None:
    class Later(Identify, frozen=True, tag="Identify"):
        colour: str = "green"

    later = Later(frames.HIGHEST, frames.HIGHEST + 1, "site2", 5, "changes")
    octets = msgspec.msgpack.encode(later)

    async def scenario(stage: AsyncExitStack) -> None:
        one = await End("site1", ca.site("site1"), "site2").start(stage)
        await call(stage, TWO, good(ca), octets=len(octets).to_bytes(4, "big") + octets)
        await one.until(PeerIdentified("site2", 5))

    play(scenario)


def test_a_peer_whose_certificate_is_revoked_while_it_greets_us_does_not_get_in(ca: Authority) -> None:
    async def act(one: End, stage: AsyncExitStack) -> None:
        issued = ca.issue("site2")
        caller = await call(stage, TWO, ca.load("site2").dialing)
        assert await caller.read() == identify("site1", "", 77)
        ca.revoke(issued)
        one.link.renew(ca.load("site1"))
        await caller.say(identify("site2"))
        await until(lambda: bool(one.refused()["revoked"]), "the refusal")
        assert PeerIdentified("site2", 1) not in one.heard

    among_others(ca, act)


@pytest.mark.parametrize(
    ("shown", "counted"), [(expired, "expired"), (of_another_site, "another_name"), (revoked, "revoked")]
)
def test_whoever_answers_at_a_peers_locator_without_its_certificate_gets_nothing(
    ca: Authority, shown: Callable[[Authority], ssl.SSLContext], counted: str
) -> None:
    shown(ca)
    name = "site3" if shown is of_another_site else "site2"
    proof, own = ca.load(name), ca.site("site1")

    async def scenario(stage: AsyncExitStack) -> None:
        said: list[bytes] = []

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stage.callback(writer.transport.abort)
            said.append(await Caller(reader, writer).until_cut())

        server = await asyncio.start_server(accepted, sock=listener(TWO), ssl=proof.accepting)
        stage.callback(server.close)
        one = await End("site1", own, "site2").start(stage)
        await until(lambda: bool(one.refused()[counted]), f"{counted} in {one.refused()}")
        assert not any(said) and not one.link.connected()["site2"]

    play(scenario)


def test_a_crowd_at_the_door_is_bounded_said_once_and_leaves_room_for_the_peer_it_claims_to_be(ca: Authority) -> None:
    async def act(one: End, stage: AsyncExitStack) -> None:
        proof = good(ca)
        with structlog.testing.capture_logs() as said:
            callers = [await call(stage, TWO, None, octets=b"x" * 64) for _ in range(5 * GREETINGS_MAX)]
            await asyncio.gather(*(caller.until_cut() for caller in callers))
        assert one.refused() == {"no_tls": GREETINGS_MAX, "too_many": 4 * GREETINGS_MAX}
        assert sorted(line["reason"] for line in said) == ["no_tls", "too_many"]
        while PeerIdentified("site2", 1) not in one.heard:
            with contextlib.suppress(OSError):
                await call(stage, TWO, proof, identify("site2"))
            await asyncio.sleep(0.05)

    among_others(ca, act)


def test_a_caller_that_says_nothing_is_not_waited_for(ca: Authority) -> None:
    async def act(one: End, stage: AsyncExitStack) -> None:
        for proof in (None, good(ca)):
            caller = await call(stage, TWO, proof)
            await caller.until_cut()
        assert not [event for event in one.heard if getattr(event, "site", "") == "site2"]

    among_others(ca, act)
