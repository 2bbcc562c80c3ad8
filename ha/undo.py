"""All or nothing: remembers how to undo each change of state, so that an event that fails half-way leaves no trace.

Owns nothing but the log. Rule for this folder: while an event is handled, state changes only through an `Undo`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Undo:
    """The undo log of one event."""

    __slots__ = ("_log",)

    def __init__(self) -> None:
        self._log: list[Callable[[], None]] = []

    def put(self, mapping: dict[Key, Value], key: Key, value: Value) -> None:
        """`mapping[key] = value`, undoably."""
        if key in mapping:
            old = mapping[key]
            self._log.append(lambda: mapping.__setitem__(key, old))
        else:
            self._log.append(lambda: mapping.__delitem__(key))
        mapping[key] = value

    def drop(self, mapping: dict[Key, Value], key: Key) -> None:
        """Remove `key` if it is there, undoably. Undoing puts it at the end: do not rely on the order of a mapping."""
        if key in mapping:
            old = mapping.pop(key)
            self._log.append(lambda: mapping.__setitem__(key, old))

    def assign(self, owner: object, name: str, value: Any) -> None:
        """`owner.name = value`, undoably."""
        old = getattr(owner, name)
        self._log.append(lambda: setattr(owner, name, old))
        setattr(owner, name, value)

    def on_roll_back(self, action: Callable[[], None]) -> None:
        """Do `action` if the event fails: for state that is no mapping and no attribute."""
        self._log.append(action)

    def roll_back(self) -> None:
        """State is as it was when the event began."""
        while self._log:
            self._log.pop()()

    def commit(self) -> None:
        """The event is done; forget how to undo it."""
        self._log.clear()
