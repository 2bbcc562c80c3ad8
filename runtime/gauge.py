"""A measured value, as a program's `metrics.py` makes it of its status document. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Document = Mapping[str, Any]


class Gauge(NamedTuple):
    """One measured value. `name` without the program's prefix, with its unit; rows of one name share `meaning`."""

    name: str
    meaning: str
    value: float
    labels: Mapping[str, str] = {}


def one_of(name: str, meaning: str, label: str, present: str, possible: Iterable[str]) -> Iterator[Gauge]:
    """A state as Prometheus likes it: a row for each possible value, 1 for the present one, 0 for the others."""
    for value in dict.fromkeys([*possible, present]):
        yield Gauge(name, meaning, value == present, {label: value})
