"""Home agents that can do less, or nothing for us: how the mobile router makes do, and when it goes to the next one."""

from dataclasses import replace

import pytest

from mip6.messages import BindingUpdate
from mip6.numbers import BindingAckFlag, Status
from mip6.options import AlternateCareOf
from mr.events import Count, Effect, SendBindingUpdate, SetHomeAgent
from mr.outstanding import Way
from mr.registration import FALLBACK_RETRY_S
from tests.mr.cast import (
    CARE_OF,
    GOOD,
    HOME_AGENT,
    OVERWRITE,
    PATH,
    SETTINGS,
    Answer,
    Bench,
    bids,
    down,
    explicit,
    octets,
    received_update,
    sent,
    up,
    uplinks,
)

OTHER = octets("2001:db8:f000::2")
TWO = replace(SETTINGS, home_agents=(HOME_AGENT, OTHER))
PLAIN = Answer(with_bids=False)


def only(effects: list[Effect]) -> SendBindingUpdate:
    [update] = sent(effects)
    return update


def fallen_back(answer: Answer) -> tuple[Bench, SendBindingUpdate]:
    """After the first registration was answered like this, the next update."""
    bench = Bench()
    return bench, only(bench.feed(answer.to(only(bench.start()))))


@pytest.mark.parametrize("answer", [PLAIN, Answer(Status.MCOA_PROHIBITED)])
def test_without_multiple_care_of_addresses_the_best_line_is_registered_plainly(answer: Answer) -> None:
    bench, update = fallen_back(answer)
    message = received_update(update)
    assert bids(message) == [] and message.first(AlternateCareOf) == AlternateCareOf(CARE_OF[1])
    effects = bench.feed(PLAIN.to(update))
    assert uplinks(effects) == [(PATH[1],)]
    view = bench.router.view(bench.now)
    assert (view.way, view.healthy, [line.registered for line in view.lines]) == ("plain", True, [True, False])
    assert any("plain" in reason for reason in view.reasons)
    refresh = only(bench.advance(150.5))
    assert bids(received_update(refresh)) == []


def test_a_plain_registration_moves_to_the_other_line_and_back() -> None:
    bench, update = fallen_back(PLAIN)
    bench.feed(PLAIN.to(update))
    moved = only(bench.feed(down(1)))
    message = received_update(moved)
    assert bids(message) == [] and message.lifetime_s == 300
    assert message.first(AlternateCareOf) == AlternateCareOf(CARE_OF[2])
    assert uplinks(bench.feed(PLAIN.to(moved))) == [(PATH[2],)]
    back = only(bench.feed(up(1)) + bench.advance(1.0))
    assert received_update(back).first(AlternateCareOf) == AlternateCareOf(CARE_OF[1])
    assert uplinks(bench.feed(PLAIN.to(back)))[-1] == (PATH[1],)


def test_after_a_while_several_care_of_addresses_are_asked_for_again() -> None:
    bench, update = fallen_back(PLAIN)
    bench.feed(PLAIN.to(update))
    asked: list[BindingUpdate] = []
    while bench.now < 1000 + FALLBACK_RETRY_S + 5 and not asked:
        for one in sent(bench.advance(1)):
            message = received_update(one)
            if bids(message):
                asked.append(message)
            else:
                bench.feed(PLAIN.to(one))
    assert bids(asked[0]) == [1, 2] and asked[0].flags & OVERWRITE
    assert bench.now >= 1000 + FALLBACK_RETRY_S


def test_where_bulk_is_prohibited_each_line_has_an_update_of_its_own() -> None:
    bench, first = fallen_back(Answer(Status.MCOA_BULK_REGISTRATION_PROHIBITED))
    message = received_update(first)
    assert bids(message) == [1] and message.flags & OVERWRITE
    second = only(bench.feed(GOOD.to(first)))
    message = received_update(second)
    assert bids(message) == [2] and not message.flags & OVERWRITE
    effects = bench.feed(GOOD.to(second))
    assert sent(effects) == [] and uplinks(effects)[-1] == (PATH[1], PATH[2])
    refresh = only(bench.advance(150.5))
    assert bids(received_update(refresh)) == [1]
    assert bids(received_update(only(bench.feed(GOOD.to(refresh))))) == [2]
    gone = only(bench.feed(down(1)))
    assert (bids(received_update(gone)), received_update(gone).lifetime_s) == ([1], 0)


def test_a_home_agent_that_forwards_no_network_is_deregistered_from() -> None:
    bench, update = fallen_back(Answer(flags=BindingAckFlag(0)))
    message = received_update(update)
    assert (message.lifetime_s, bids(message)) == (0, [])
    effects = bench.feed(PLAIN.to(update))
    assert sent(effects) == [] and bench.router.view(bench.now).state == "refused"
    assert sent(bench.advance(59)) == []
    assert bids(received_update(only(bench.advance(2)))) == [1, 2]


def test_it_leaves_even_if_that_home_agent_does_not_answer() -> None:
    bench, _ = fallen_back(Answer(flags=BindingAckFlag(0)))
    assert len(sent(bench.advance(5))) <= 3
    assert bench.router.view(bench.now).state == "refused"


def test_statuses_of_the_other_mode_are_discarded() -> None:
    for settings, statuses in (
        (SETTINGS, (Status.INVALID_PREFIX, Status.NOT_AUTHORIZED_FOR_PREFIX)),
        (explicit(), (Status.FORWARDING_SETUP_FAILED,)),
    ):
        for status in statuses:
            bench = Bench(settings)
            update = only(bench.start())
            assert bench.feed(Answer(status).to(update)) == [Count("binding_acks_dropped", "status_of_other_mode")]
            assert uplinks(bench.feed(GOOD.to(update))) == [(PATH[1], PATH[2])]


@pytest.mark.parametrize(
    "status",
    [
        Status.REASON_UNSPECIFIED,
        Status.INSUFFICIENT_RESOURCES,
        Status.HOME_REGISTRATION_NOT_SUPPORTED,
        Status.NOT_HOME_SUBNET,
        Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE,
        Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED,
        Status.FORWARDING_SETUP_FAILED,
    ],
)
def test_a_home_agent_of_no_use_is_left_for_the_next(status: Status) -> None:
    bench = Bench(TWO)
    effects = bench.feed(Answer(status).to(only(bench.start())))
    assert SetHomeAgent(OTHER) in effects
    assert only(effects).home_agent == OTHER
    assert bench.router.view(bench.now).home_agent == OTHER


@pytest.mark.parametrize("status", [Status.ADMINISTRATIVELY_PROHIBITED, Status.AUTHENTICATION_FAILED])
def test_a_refusal_that_every_home_agent_would_give_is_no_reason_to_move(status: Status) -> None:
    bench = Bench(TWO)
    assert sent(bench.feed(Answer(status).to(only(bench.start())))) == []
    assert bench.router.view(bench.now).home_agent == HOME_AGENT


def test_silence_until_the_longest_pause_is_a_reason_to_move_and_answers_there_are_believed() -> None:
    bench = Bench(TWO)
    bench.start()
    moved = [one for one in sent(bench.advance(100)) if one.home_agent == OTHER]
    assert moved and received_update(replace(moved[0], home_agent=HOME_AGENT)).flags & OVERWRITE
    assert bench.times[-1] - 1000 > 30


def test_when_all_are_of_no_use_in_a_row_the_pause_is_kept() -> None:
    bench = Bench(TWO)
    update = only(bench.start())
    refused = Answer(Status.NOT_HOME_SUBNET)
    second = only(bench.feed(refused.to(update)))
    answer = replace(refused.to(replace(second, home_agent=HOME_AGENT)), source=OTHER)
    effects = bench.feed(answer)
    assert sent(effects) == [] and bench.router.view(bench.now).state == "refused"
    assert sent(bench.advance(59)) == []
    assert len(sent(bench.advance(2))) == 1


def test_the_way_is_part_of_what_an_operator_sees() -> None:
    assert Bench().registered().router.view(1000.0).way == Way.BULK.name.lower()
