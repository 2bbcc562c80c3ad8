"""Counters: a name and one label, counted up, never reset. The names are the Prometheus names without prefix.

Owns the numbers that `status --json` shows. The label comes from a small fixed set (a reason slug, a status), never
from a packet, so memory stays bounded.
"""

from collections import defaultdict


class Counters:
    """Monotonic counters keyed by name and label."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)

    def add(self, name: str, label: str = "", amount: int = 1) -> None:
        """Count `amount` more of `name`, told apart by `label`."""
        self._counts[name, label] += amount

    def get(self, name: str, label: str = "") -> int:
        """How often `name` with `label` was counted; 0 if never."""
        return self._counts.get((name, label), 0)

    def as_dict(self) -> dict[str, int]:
        """All counters as `name` or `name{label}`, sorted, for status documents."""
        return {f"{name}{{{label}}}" if label else name: n for (name, label), n in sorted(self._counts.items())}
