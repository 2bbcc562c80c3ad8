"""A taste of the fuzzing in every run: the same inputs each time. `make soak` has more, and others."""

from itertools import islice

import pytest

from tests.fuzz.mutations import mutations
from tests.fuzz.targets import Handle, corpus, decode, mobility_headers

INPUTS = 10_000


@pytest.mark.parametrize("seed", range(2))
def test_any_octets_are_a_message_or_malformed(seed: int) -> None:
    for octets in islice(mutations(mobility_headers(), seed), INPUTS):
        decode(octets)


@pytest.mark.parametrize("seed", range(2))
def test_no_packet_makes_the_home_agent_raise_forget_to_count_or_change_what_it_refused(seed: int) -> None:
    handle = Handle()
    for octets in corpus():
        handle(octets)
    for octets in islice(mutations(corpus(), seed), INPUTS):
        handle(octets)
    assert handle.accepted > INPUTS / 500  # else the fuzzing stays at the door


def test_the_targets_notice_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that cannot fail proves nothing."""
    handle = Handle()
    bad = handle.site.agent.cache.put
    monkeypatch.setattr(handle.site.agent.cache, "put", lambda record, undo: (bad(record, undo), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        for octets in corpus():
            handle(octets)
