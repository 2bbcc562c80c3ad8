"""Which source ports are kept: those of flows that kept to one line."""

from lab.calibrate import choose
from lab.ledger import Flow, Ledger

DIRECTION = "cn1->lan1"


def trial(lines_of: dict[int, list[int]]) -> Ledger:
    """A ledger of flows by source port, each probe delivered over the line of that index."""
    ledger = Ledger([Flow(DIRECTION, port) for port in lines_of], ("site1",), ("line1", "line2"))
    for flow, lines in enumerate(lines_of.values()):
        for beat, line in enumerate(lines):
            number = ledger.sent(flow, beat * 0.02)
            ledger.received(number, beat * 0.02 + 0.001)
            ledger.seen_on_line(number, line)
    return ledger


def test_two_ports_of_each_line_are_kept() -> None:
    assert choose(trial({1: [0], 2: [1], 3: [0], 4: [1], 5: [0]}), DIRECTION) == (1, 2, 3, 4)


def test_a_flow_that_moved_meanwhile_is_not_taken_for_both_lines() -> None:
    """A port taken twice could not be bound twice."""
    assert choose(trial({1: [0, 1], 2: [0], 3: [0], 4: [1], 5: [1]}), DIRECTION) == (2, 3, 4, 5)
    assert choose(trial({1: [0, 1], 2: [0], 3: [0], 4: [1]}), DIRECTION) is None
