"""The arithmetic of probes: who served, how long a shift took, which losses it excuses."""

from lab import ledger as books
from lab.ledger import Flow, Ledger, Shift

DIRECTION = "cn1->lan1"
SITES, LINES = ("site1", "site2"), ("line1", "line2")
STEP_S = 0.02


def run(fates: dict[int, list[str]]) -> Ledger:
    """A ledger of flows: a letter a probe, every 20 ms from 0: `1`/`2` served by that site, `x` lost.

    `?` was served by a site that nobody saw. Each arrives 1 ms after it was sent; all go over line 1.
    """
    ledger = Ledger([Flow(DIRECTION, 20001 + flow) for flow in fates], SITES, LINES)
    beats = max(len(fate) for fate in fates.values())
    for beat in range(beats):
        for flow, fate in fates.items():
            number = ledger.sent(flow, beat * STEP_S)
            if fate[beat] != "x":
                ledger.received(number, beat * STEP_S + 0.001)
                if fate[beat] != "?":
                    ledger.seen_at_site(number, int(fate[beat]) - 1)
                ledger.seen_on_line(number, 0)
    return ledger


def test_a_probe_is_in_the_stretch_in_which_it_was_sent() -> None:
    ledger = run({0: list("11x2")})
    assert [probe.sent_at for probe in ledger.between(STEP_S, 3 * STEP_S)] == [STEP_S, 2 * STEP_S]
    assert [probe.site for probe in ledger.between(0, 1)] == ["site1", "site1", None, "site2"]


def test_servers_are_those_of_delivered_probes() -> None:
    ledger = run({0: list("12x")})
    lost = ledger.sent(0, 1.0)
    ledger.seen_at_site(lost, 0)
    assert books.servers(ledger.between(STEP_S, 2.0)) == ({"site2"}, {"line1"})


def test_a_flow_shifts_when_the_first_probe_served_by_another_arrives() -> None:
    ledger = run({0: list("1111111111xxx222"), 1: list("1111111111111222"), 2: list("2222222222222222")})
    event_at = 9.5 * STEP_S
    shift = books.away_from(ledger, DIRECTION, ("site1",), event_at, 1.0)
    assert shift.affected == 2
    assert shift.lost_outside == 0
    assert shift.shift_s is not None
    assert abs(shift.shift_s - (13 * STEP_S + 0.001 - event_at)) < 1e-9


def test_a_loss_after_the_flow_had_moved_is_outside_the_shift() -> None:
    ledger = run({0: list("1111111111x22x22"), 1: list("222222222222x222")})
    shift = books.away_from(ledger, DIRECTION, ("site1",), 9.5 * STEP_S, 1.0)
    assert (shift.affected, shift.lost_outside) == (1, 2)


def test_a_probe_of_which_no_site_was_seen_does_not_tell_where_its_flow_is() -> None:
    """A busy machine's sniffer missed one: its flow counted as moved at once, and the shift's losses as outside it."""
    ledger = run({0: list("1111111111?xxx22"), 1: list("111111111?xxxx22")})
    shift = books.away_from(ledger, DIRECTION, ("site1",), 9.5 * STEP_S, 1.0)
    assert (shift.affected, shift.lost_outside) == (2, 0)


def test_a_flow_that_never_moves_has_no_shift() -> None:
    ledger = run({0: list("1111111111222222"), 1: list("1111111111111111")})
    shift = books.away_from(ledger, DIRECTION, ("site1",), 9.5 * STEP_S, 1.0)
    assert (shift.affected, shift.shift_s) == (2, None)


def test_a_direction_that_was_served_by_another_is_not_affected() -> None:
    ledger = run({0: list("2222222222222222")})
    assert books.away_from(ledger, DIRECTION, ("site1",), 9.5 * STEP_S, 1.0) == Shift(0, None, 0)


def test_coming_back_is_the_first_arrival_served_by_what_returned() -> None:
    ledger = run({0: list("22222222222x1111"), 1: list("2222222222222211")})
    shift = books.back_to(ledger, DIRECTION, ("site1",), 9.5 * STEP_S, 1.0)
    assert shift.lost_outside == 1
    assert shift.shift_s is not None
    assert abs(shift.shift_s - (12 * STEP_S + 0.001 - 9.5 * STEP_S)) < 1e-9


def test_a_number_that_was_never_sent_is_ignored() -> None:
    ledger = run({0: ["1"]})
    ledger.received(7, 1.0)
    ledger.seen_at_site(7, 0)
    ledger.seen_on_line(7, 0)
    assert len(ledger) == 1


def test_the_first_copy_counts() -> None:
    ledger = run({0: ["1"]})
    ledger.received(0, 5.0)
    assert ledger.probe(0).received_at == 0.001
