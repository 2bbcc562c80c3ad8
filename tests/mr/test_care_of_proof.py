"""The mobile router shows that it hears on each line, and disturbs nothing if nobody cares."""

from dataclasses import dataclass

from mip6 import care_of_proof, header
from mip6.auth import SecurityAssociation, encode_signed, verify
from mip6.messages import Heartbeat
from mip6.options import MessageIdentification, Option, RestartCounter
from mr.binding_update import signed_heartbeat
from mr.events import Count, Effect, HeartbeatReceived, SendHeartbeat
from tests.mr.cast import (
    ASSOCIATION,
    CARE_OF,
    GOOD,
    HOME_ADDRESS,
    HOME_AGENT,
    OTHER_CARE_OF,
    STRANGER,
    Bench,
    bids,
    down,
    received_update,
    sent,
    timestamp_of,
    up,
)

COOKIE, NEXT_COOKIE = bytes(range(16)), bytes(range(16, 32))


def beats(effects: list[Effect]) -> list[SendHeartbeat]:
    return [effect for effect in effects if isinstance(effect, SendHeartbeat)]


def heard(sent_beat: SendHeartbeat) -> Heartbeat:
    """What the home agent reads from the packet, whose signature it has checked."""
    packet = signed_heartbeat(sent_beat, ASSOCIATION)
    assert (packet[6], packet[8:24], packet[24:40]) == (135, sent_beat.care_of, HOME_AGENT)
    message = header.decode(packet[40:], sent_beat.care_of, HOME_AGENT)
    assert verify(packet[40:], ASSOCIATION, sent_beat.care_of, HOME_ADDRESS)
    assert isinstance(message, Heartbeat)
    assert care_of_proof.home_address(message) == HOME_ADDRESS
    return message


@dataclass(frozen=True)
class Reply:
    """How the home agent answers a Heartbeat."""

    cookie: bytes | None = None
    restarts: int = 0
    association: SecurityAssociation = ASSOCIATION
    sequence: int | None = None
    timestamp: int | None = None
    response: bool = True
    source: bytes = HOME_AGENT
    destination: bytes | None = None

    def to(self, sent_beat: SendHeartbeat) -> HeartbeatReceived:
        asked = heard(sent_beat)
        stamp = asked.first(MessageIdentification)
        assert stamp is not None
        options: list[Option] = [RestartCounter(self.restarts)]
        if self.cookie is not None:
            options.append(care_of_proof.cookie_option(self.cookie))
        options.append(MessageIdentification(stamp.timestamp if self.timestamp is None else self.timestamp))
        sequence = asked.sequence if self.sequence is None else self.sequence
        message = Heartbeat(sequence, response=self.response, options=tuple(options))
        destination = self.destination or sent_beat.care_of
        octets = encode_signed(message, self.association, destination, HOME_ADDRESS, self.source, destination)
        return HeartbeatReceived(message, octets, self.source, destination)


def under_test(bench: Bench) -> SendHeartbeat:
    """Both lines registered over line 1; the Heartbeat that follows."""
    effects = bench.feed(GOOD.to(sent(bench.start())[0]))
    [beat] = beats(effects)
    return beat


def verified(bench: Bench) -> dict[int, bool]:
    return {line.uplink.bid: line.verified for line in bench.router.view(bench.now).lines}


def test_the_claimed_line_is_tested_over_itself_and_the_speaking_one_needs_none() -> None:
    bench = Bench()
    beat = under_test(bench)
    assert (beat.care_of, beat.interface) == (CARE_OF[2], "line2")
    assert care_of_proof.cookie(heard(beat)) is None
    assert verified(bench) == {1: True, 2: False}


def test_a_cookie_is_echoed_at_once_and_the_answer_without_one_ends_the_test() -> None:
    bench = Bench()
    [echo] = beats(bench.feed(Reply(COOKIE).to(under_test(bench))))
    assert care_of_proof.cookie(heard(echo)) == COOKIE
    assert beats(bench.feed(Reply().to(echo))) == []
    assert verified(bench) == {1: True, 2: True}
    assert beats(bench.advance(60)) == []


def test_a_refresh_tests_again_with_the_cookie_kept() -> None:
    bench = Bench()
    [echo] = beats(bench.feed(Reply(COOKIE).to(under_test(bench))))
    bench.feed(Reply().to(echo))
    [refresh] = sent(bench.advance(150.5))
    [beat] = beats(bench.feed(GOOD.to(refresh)))
    assert care_of_proof.cookie(heard(beat)) == COOKIE
    assert verified(bench) == {1: True, 2: True}
    [again] = beats(bench.feed(Reply(NEXT_COOKIE).to(beat)))
    assert care_of_proof.cookie(heard(again)) == NEXT_COOKIE
    assert verified(bench) == {1: True, 2: False}


def test_silence_is_met_with_patience_and_disturbs_no_registration() -> None:
    bench = Bench()
    under_test(bench)
    times = []
    start = bench.now
    for _ in range(70):
        if beats(bench.advance(1.0)):
            times.append(round(bench.now - start))
    assert times == [1, 3, 7, 15, 31, 63]
    assert verified(bench) == {1: True, 2: False}
    assert bench.router.view(bench.now).healthy


def test_a_home_agent_that_never_has_enough_is_not_answered_without_end() -> None:
    bench = Bench()
    beat, count = under_test(bench), 0
    while following := beats(bench.feed(Reply(COOKIE).to(beat))):
        [beat] = following
        count += 1
        assert count < 10
    assert count == 2
    assert len(beats(bench.advance(60))) <= 6


def test_what_is_no_answer_of_the_home_agents_is_dropped_and_counted() -> None:
    bench = Bench()
    beat = under_test(bench)
    stamp = heard(beat).first(MessageIdentification)
    assert stamp is not None
    for reply, why in (
        (Reply(association=STRANGER), "not_authentic"),
        (Reply(sequence=99), "sequence_unknown"),
        (Reply(timestamp=stamp.timestamp - 1), "timestamp_unknown"),
        (Reply(response=False), "not_an_answer"),
        (Reply(source=CARE_OF[1]), "not_an_answer"),
        (Reply(destination=CARE_OF[1]), "sequence_unknown"),
    ):
        assert Count("heartbeats_dropped", why) in bench.feed(reply.to(beat)), why
    assert verified(bench) == {1: True, 2: False}
    bench.feed(Reply().to(beat))
    assert Count("heartbeats_dropped", "sequence_unknown") in bench.feed(Reply().to(beat))


def test_a_line_that_leaves_or_moves_takes_its_test_along() -> None:
    bench = Bench()
    under_test(bench)
    bench.feed(down(2))
    assert beats(bench.advance(30)) == []
    bench = Bench()
    [echo] = beats(bench.feed(Reply(COOKIE).to(under_test(bench))))
    bench.feed(Reply().to(echo))
    moved = bench.feed(up(2, OTHER_CARE_OF))
    [update] = sent(moved)
    [beat] = beats(bench.feed(GOOD.to(update)))
    assert beat.care_of == OTHER_CARE_OF and care_of_proof.cookie(heard(beat)) is None
    assert verified(bench) == {1: True, 2: False}


def test_another_restart_counter_makes_it_register_again_once_in_a_while() -> None:
    bench = Bench()
    [echo] = beats(bench.feed(Reply(COOKIE, restarts=4).to(under_test(bench))))
    effects = bench.feed(Reply(restarts=5).to(echo))
    assert Count("registered_again", "home_agent_restarted") in effects
    [update] = sent(effects)
    assert bids(received_update(update)) == [1, 2]
    effects = bench.feed(GOOD.to(update))
    [beat] = beats(effects)
    effects = bench.feed(Reply(restarts=6).to(beat))
    assert Count("requests_ignored", "home_agent_restarted") in effects and sent(effects) == []


def test_stamps_of_heartbeats_and_updates_are_one_growing_row() -> None:
    bench = Bench()
    first = sent(bench.start())[0]
    [beat] = beats(bench.feed(GOOD.to(first)))
    stamp = heard(beat).first(MessageIdentification)
    assert stamp is not None and stamp.timestamp > timestamp_of(received_update(first))
    [update] = sent(bench.feed(down(1)))
    assert timestamp_of(received_update(update)) > stamp.timestamp


def test_a_heartbeat_of_a_test_is_not_sent_after_a_stop_was_asked_for() -> None:
    from mr.events import StopRequested

    bench = Bench()
    under_test(bench)
    assert beats(bench.feed(StopRequested())) == [] and beats(bench.advance(1.5)) == []
