"""All or nothing: remembers how to undo each change of state, so that an event that fails half-way leaves no trace.

Owns nothing but the log. Rule for this folder: while an event is handled, state changes only through an `Undo`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
_ABSENT: Any = object()


class Undo:
    """The undo log of one event."""

    __slots__ = ("_log",)

    def __init__(self) -> None:
        self._log: list[tuple[Any, ...]] = []  # what to call, and with what; a closure costs twice as much

    def put(self, mapping: dict[Key, Value], key: Key, value: Value) -> None:
        """`mapping[key] = value`, undoably."""
        old = mapping.get(key, _ABSENT)
        self._log.append((dict.pop, mapping, key) if old is _ABSENT else (dict.__setitem__, mapping, key, old))
        mapping[key] = value

    def drop(self, mapping: dict[Key, Value], key: Key) -> None:
        """Remove `key` if it is there, undoably. Undoing puts it at the end: do not rely on the order of a mapping."""
        old = mapping.pop(key, _ABSENT)
        if old is not _ABSENT:
            self._log.append((dict.__setitem__, mapping, key, old))

    def assign(self, owner: object, name: str, value: Any) -> None:
        """`owner.name = value`, undoably."""
        self._log.append((setattr, owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def on_roll_back(self, action: Callable[[], None]) -> None:
        """Do `action` if the event fails: for state that is no mapping and no attribute."""
        self._log.append((action,))

    def roll_back(self) -> None:
        """State is as it was when the event began."""
        while self._log:
            action, *arguments = self._log.pop()
            action(*arguments)

    def commit(self) -> None:
        """The event is done; forget how to undo it."""
        self._log.clear()
