"""What the collector is kept from looking at; each test leaves it as it found it."""

import gc
from collections.abc import Iterator

import pytest

from runtime import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def test_what_was_made_in_great_number_is_not_looked_at_afterwards() -> None:
    """Symptom: behind a status of 100,000 customers stood a pause of a fifth of a second, and no lease was renewed."""
    looked: list[int] = []

    def look(phase: str, details: dict[str, int]) -> None:
        if phase == "start" and not details["generation"]:  # the youngest, among whom they would be
            looked.append(len(gc.get_objects(0)))

    gc.callbacks.append(look)
    try:
        with collector.nothing_kept():
            made = [[number] for number in range(2 * collector.MANY)]
        more = [[number] for number in range(2 * collector.YOUNG)]
    finally:
        gc.callbacks.remove(look)
    assert looked
    assert max(looked) < collector.MANY
    assert len(made) > len(more)


def test_a_little_that_was_made_is_still_looked_at() -> None:
    frozen = gc.get_freeze_count()
    with collector.nothing_kept():
        made = [[number] for number in range(100)]
    assert gc.get_freeze_count() == frozen
    assert gc.isenabled()
    assert made


def test_inside_another_nobody_looks_either() -> None:
    with collector.nothing_kept():
        with collector.nothing_kept():
            pass
        assert not gc.isenabled()


def test_what_survives_is_looked_at_in_small_portions() -> None:
    """Symptom: while 100,000 routers registered, half a million new objects were looked at in one go."""
    collector.quiet()
    young, middle, _ = gc.get_threshold()
    assert young * middle <= collector.MANY
