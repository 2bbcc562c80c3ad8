"""The mobile router's life, scene by scene, against a scripted home agent that speaks real octets."""

from dataclasses import replace

import pytest

from dataplane.entry import Prefix
from mip6.numbers import BindingUpdateFlag, Status
from mip6.options import AlternateCareOf, BindingIdentifier, BindingRefreshAdvice, MobileNetworkPrefix
from mr.events import (
    BindingUpdateNotSent,
    ClockObserved,
    Count,
    Leave,
    SetLines,
    StopRequested,
    StoreTimestamp,
    UplinkChanged,
)
from tests.mr.cast import (
    CARE_OF,
    GATEWAY,
    GOOD,
    OTHER_CARE_OF,
    OVERWRITE,
    PATH,
    PREFIX,
    Answer,
    Bench,
    bids,
    down,
    explicit,
    received_update,
    sent,
    timestamp_of,
    up,
    uplinks,
)


def test_the_first_registration_is_bulk_with_overwrite_and_says_nothing_to_the_kernel() -> None:
    effects = Bench().start()
    (update,) = sent(effects)
    message = received_update(update)
    assert message.flags == (
        BindingUpdateFlag.ACKNOWLEDGE
        | BindingUpdateFlag.HOME_REGISTRATION
        | BindingUpdateFlag.MOBILE_ROUTER
        | BindingUpdateFlag.OVERWRITE
    )
    assert [(option.bid, option.care_of) for option in message.all(BindingIdentifier)] == list(CARE_OF.items())
    assert message.lifetime_s == 300
    assert message.first(AlternateCareOf) is None
    assert message.first(MobileNetworkPrefix) is None
    assert update.interface == "line1"
    assert StoreTimestamp(timestamp_of(message)) in effects
    assert uplinks(effects) == []


def test_each_usable_line_has_its_own_routes_before_an_update_leaves_by_it() -> None:
    bench = Bench()
    effects = bench.start(up(1), down(2))
    assert effects[0] == SetLines((PATH[1],))
    effects = bench.feed(up(2))
    assert effects[0] == SetLines((PATH[1], PATH[2]))
    assert sent(effects)
    assert SetLines((PATH[2],)) in bench.feed(down(1))


def test_line_routes_the_kernel_refused_are_set_again() -> None:
    bench = Bench()
    bench.kernel_reason = "no memory"
    bench.start()
    assert SetLines((PATH[1], PATH[2])) in bench.advance(1.1)
    bench.kernel_reason = None
    assert SetLines((PATH[1], PATH[2])) in bench.advance(1.0)
    assert SetLines((PATH[1], PATH[2])) not in bench.advance(5.0)


def test_explicit_mode_names_the_prefixes() -> None:
    (update,) = sent(Bench(explicit()).start())
    assert [tuple(option.prefix) for option in received_update(update).all(MobileNetworkPrefix)] == [tuple(PREFIX)]


def test_networks_of_ipv4_have_no_option_to_be_named_by() -> None:
    settings = replace(explicit(), prefixes=(PREFIX, Prefix(bytes((203, 0, 113, 0)), 26)))
    (update,) = sent(Bench(settings).start())
    assert [tuple(option.prefix) for option in received_update(update).all(MobileNetworkPrefix)] == [tuple(PREFIX)]


def test_lines_carry_traffic_once_acknowledged() -> None:
    bench = Bench()
    (update,) = sent(bench.start())
    effects = bench.feed(GOOD.to(update))
    assert uplinks(effects) == [(PATH[1], PATH[2])]
    assert bench.router.view(bench.now).state == "registered"
    assert bench.router.view(bench.now).healthy


def test_unanswered_updates_back_off_change_lines_and_never_repeat_a_number() -> None:
    bench = Bench()
    updates = sent(bench.start()) + sent(bench.advance(200))
    pauses = [later - earlier for earlier, later in zip(bench.times, bench.times[1:], strict=False)]
    assert pauses == [1.5, 3.0, 6.0, 12.0, 24.0, 32.0, 32.0, 32.0, 32.0]
    messages = [received_update(update) for update in updates]
    assert [message.sequence for message in messages] == list(range(32769, 32769 + len(messages)))
    stamps = [timestamp_of(message) for message in messages]
    assert stamps == sorted(set(stamps))
    assert [update.interface for update in updates[:4]] == ["line1", "line2", "line1", "line2"]


def test_an_answer_to_an_earlier_transmission_counts() -> None:
    bench = Bench()
    (first,) = sent(bench.start())
    bench.advance(1.6)
    assert uplinks(bench.feed(GOOD.to(first))) == [(PATH[1], PATH[2])]


def test_a_refresh_comes_well_before_expiry_and_touches_no_kernel() -> None:
    bench = Bench().registered()
    assert sent(bench.advance(134)) == []
    effects = bench.advance(32)
    message = received_update(sent(effects)[0])
    assert bids(message) == [1, 2]
    assert not message.flags & OVERWRITE
    assert uplinks(effects + bench.feed(GOOD.to(sent(effects)[-1]))) == []


def test_the_home_agents_refresh_advice_is_followed() -> None:
    bench = Bench()
    bench.feed(Answer(options=(BindingRefreshAdvice(40),)).to(sent(bench.start())[0]))
    assert sent(bench.advance(39)) == []
    assert len(sent(bench.advance(1.5))) == 1


def test_the_granted_lifetime_counts_from_the_sending() -> None:
    bench = Bench()
    (update,) = sent(bench.start())
    bench.now += 1.0
    bench.feed(Answer(lifetime_s=100).to(update))
    assert [line.lifetime_left_s for line in bench.router.view(bench.now).lines] == [99.0, 99.0]
    effects = bench.advance(99)
    assert uplinks(effects) == [()]
    assert received_update(sent(effects)[-1]).flags & OVERWRITE


def test_a_lost_line_leaves_the_kernel_and_the_home_agent_at_once() -> None:
    bench = Bench().registered()
    bench.advance(10)
    effects = bench.feed(down(1))
    assert uplinks(effects) == [(PATH[2],)]
    (update,) = sent(effects)
    message = received_update(update)
    assert (message.lifetime_s, bids(message), update.care_of) == (0, [1], CARE_OF[2])
    assert bench.feed(GOOD.to(update)) == [Count("binding_acks_received", "0")]
    assert sent(bench.advance(100)) == []
    assert bench.router.view(bench.now).state == "degraded"


def test_the_deregistration_of_a_lost_line_is_repeated_quickly_but_within_the_update_rate() -> None:
    bench = Bench().registered()
    bench.advance(10)
    bench.times.clear()
    bench.feed(down(2))
    bench.advance(9)
    pauses = [round(later - earlier, 3) for earlier, later in zip(bench.times, bench.times[1:], strict=False)]
    assert pauses == [0.4, 0.4, 1.0, 2.0, 4.0]


def test_a_line_without_an_address_is_lost_as_well() -> None:
    bench = Bench().registered()
    effects = bench.feed(UplinkChanged(1, True, None, GATEWAY[1]))
    assert uplinks(effects) == [(PATH[2],)]
    assert bids(received_update(sent(effects)[0])) == [1]


def test_a_returned_line_carries_traffic_only_after_its_acknowledgement() -> None:
    bench = Bench().registered()
    bench.feed(GOOD.to(sent(bench.feed(down(1)))[0]))
    bench.advance(5)
    effects = bench.feed(up(1))
    assert uplinks(effects) == []
    (update,) = sent(effects)
    message = received_update(update)
    assert (bids(message), update.care_of) == ([1, 2], CARE_OF[2])
    assert not message.flags & OVERWRITE
    assert uplinks(bench.feed(GOOD.to(update))) == [(PATH[1], PATH[2])]


def test_a_new_address_is_registered_and_used_after_the_answer() -> None:
    bench = Bench().registered()
    effects = bench.feed(up(1, OTHER_CARE_OF))
    assert uplinks(effects) == [(PATH[2],)]
    (update,) = sent(effects)
    option = received_update(update).all(BindingIdentifier)[0]
    assert (option.bid, option.care_of) == (1, OTHER_CARE_OF)
    ((first, second),) = uplinks(bench.feed(GOOD.to(update)))
    assert (first.care_of, second) == (OTHER_CARE_OF, PATH[2])


def test_losing_one_line_while_the_other_is_unregistered_takes_one_update_with_overwrite() -> None:
    bench = Bench()
    bench.feed(GOOD.to(sent(bench.start(up(1), down(2)))[0]))
    bench.feed(up(2))
    effects = bench.feed(down(1))
    assert uplinks(effects) == [()]
    message = received_update(sent(effects)[0])
    assert (bids(message), bool(message.flags & OVERWRITE), message.lifetime_s) == ([2], True, 300)


def test_all_lines_lost_means_unreachable_and_silence_until_one_returns() -> None:
    bench = Bench().registered()
    bench.feed(down(1))
    effects = bench.feed(down(2)) + bench.advance(1000)
    assert uplinks(effects) == [()]
    assert sent(effects) == []
    assert bench.router.view(bench.now).state == "searching"
    (update,) = sent(bench.feed(up(2)))
    assert bids(received_update(update)) == [2]
    assert uplinks(bench.feed(GOOD.to(update))) == [(PATH[2],)]


def test_starting_without_a_line_waits_in_state_searching() -> None:
    bench = Bench()
    effects = bench.start(down(1), down(2))
    assert (sent(effects), uplinks(effects)) == ([], [()])
    assert bench.router.view(bench.now).state == "searching"
    assert len(sent(bench.feed(up(1)))) == 1


def test_a_flapping_line_costs_at_most_three_updates_a_second() -> None:
    bench = Bench().registered()
    bench.advance(10)
    bench.times.clear()
    for step in range(100):
        bench.feed(down(1) if step % 2 == 0 else up(1))
        bench.advance(0.03)
    for moment in bench.times:
        assert sum(moment <= other < moment + 1.0 for other in bench.times) <= 3


def test_status_135_makes_us_adopt_the_home_agents_number() -> None:
    bench = Bench()
    (update,) = sent(bench.start())
    effects = bench.feed(Answer(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=7).to(update))
    (again,) = sent(effects)
    assert received_update(again).sequence == 8
    assert uplinks(bench.feed(GOOD.to(again))) == [(PATH[1], PATH[2])]


@pytest.mark.parametrize("error_s", [3600.0, -3600.0])
def test_status_144_corrects_our_clock_in_either_direction(error_s: float) -> None:
    bench = Bench().registered()
    bench.feed(ClockObserved(1_700_000_000.0 + error_s))
    (update,) = sent(bench.feed(down(1)))
    low = timestamp_of(received_update(update)) & 0xFFFFFFFF
    answer = Answer(Status.ID_MISMATCH, timestamp=(bench.ntp() >> 32 << 32) | low)
    (again,) = sent(bench.feed(answer.to(update)))
    assert abs(timestamp_of(received_update(again)) - bench.ntp()) < 2 << 32
    bench.feed(GOOD.to(again))
    assert bench.router.view(bench.now).state == "degraded"


@pytest.mark.parametrize("status", [Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, Status.MCOA_NON_MCOA_BINDING_EXISTS])
def test_a_home_agent_that_lost_our_state_gets_it_again_with_overwrite(status: Status) -> None:
    bench = Bench().registered()
    refresh = sent(bench.advance(166))[-1]
    assert not received_update(refresh).flags & OVERWRITE
    (again,) = sent(bench.feed(Answer(status).to(refresh)))
    assert received_update(again).flags & OVERWRITE


def test_status_133_to_a_deregistration_leads_to_a_fresh_registration_with_overwrite() -> None:
    bench = Bench().registered()
    (update,) = sent(bench.feed(down(1)))
    (again,) = sent(bench.feed(Answer(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE).to(update)))
    message = received_update(again)
    assert (bids(message), bool(message.flags & OVERWRITE)) == ([2], True)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Status.ADMINISTRATIVELY_PROHIBITED),
        Answer(Status.NOT_HOME_SUBNET),
        Answer(Status.AUTHENTICATION_FAILED),
        Answer(Status.MCOA_NON_MCOA_BINDING_EXISTS),
        Answer(lifetime_s=0),
    ],
)
def test_an_authentic_refusal_is_asked_about_again_only_after_a_minute(answer: Answer) -> None:
    bench = Bench()
    effects = bench.feed(answer.to(sent(bench.start())[0]))
    assert (sent(effects), uplinks(effects)) == ([], [])
    assert bench.router.view(bench.now).state == "refused"
    assert sent(bench.advance(59)) == []
    assert len(sent(bench.advance(2))) == 1


def test_a_refused_line_does_not_hold_back_the_other() -> None:
    bench = Bench()
    answer = Answer(Status.MCOA_NOTCOMPLETE, line_statuses={2: Status.INVALID_CARE_OF_ADDRESS})
    effects = bench.feed(answer.to(sent(bench.start())[0]))
    assert uplinks(effects) == [(PATH[1],)]
    assert [line.state for line in bench.router.view(bench.now).lines] == ["registered", "refused with status 174"]
    assert sent(bench.advance(59)) == []
    assert bids(received_update(sent(bench.advance(2))[0])) == [1, 2]


def test_a_backup_line_carries_nothing_until_it_is_needed() -> None:
    settings = explicit()
    lines = (settings.lines[0], type(settings.lines[1])(2, "line2", "line2", 1, 10, None))
    bench = Bench(type(settings)(**{name: getattr(settings, name) for name in settings.__slots__} | {"lines": lines}))
    assert uplinks(bench.feed(GOOD.to(sent(bench.start())[0]))) == [(PATH[1],)]
    assert uplinks(bench.feed(down(1))) == [(PATH[2],)]


def test_a_stop_deregisters_everything_and_leaves_when_answered() -> None:
    bench = Bench().registered()
    effects = bench.feed(StopRequested())
    (update,) = sent(effects)
    message = received_update(update)
    assert (message.lifetime_s, bids(message)) == (0, [])
    assert message.first(AlternateCareOf) == AlternateCareOf(update.care_of)
    assert Leave() not in effects
    assert Leave() in bench.feed(GOOD.to(update))
    assert bench.router.next_deadline() is None


def test_a_stop_without_an_answer_leaves_after_two_seconds() -> None:
    bench = Bench().registered()
    bench.feed(StopRequested())
    assert Leave() not in bench.advance(1.9)
    assert Leave() in bench.advance(0.2)


def test_a_stop_without_any_line_leaves_at_once() -> None:
    bench = Bench()
    bench.start(down(1), down(2))
    assert Leave() in bench.feed(StopRequested())


def test_lines_the_kernel_refused_are_set_again() -> None:
    bench = Bench()
    bench.kernel_reason = "no memory"
    bench.feed(GOOD.to(sent(bench.start())[0]))
    assert not bench.router.view(bench.now).healthy
    assert uplinks(bench.advance(1.5)) == [(PATH[1], PATH[2])]
    bench.kernel_reason = None
    assert uplinks(bench.advance(1.0)) == [(PATH[1], PATH[2])]
    assert uplinks(bench.advance(10.0)) == []
    assert bench.router.view(bench.now).healthy


def test_an_update_the_kernel_would_not_send_is_counted_and_retransmitted() -> None:
    bench = Bench()
    (update,) = sent(bench.start())
    assert Count("binding_updates_not_sent") in bench.feed(BindingUpdateNotSent(update.message.sequence, "no route"))
    assert len(sent(bench.advance(1.5))) == 1


def test_an_event_that_fails_half_way_changes_nothing() -> None:
    bench = Bench().registered()
    before = (bench.router.view(bench.now), bench.router.next_deadline())
    with pytest.raises(TypeError):
        bench.router.handle(down(1), "no time")  # type: ignore[arg-type]
    assert (bench.router.view(bench.now), bench.router.next_deadline()) == before
