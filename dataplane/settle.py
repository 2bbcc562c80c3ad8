"""What counts as done: "already there" and "already gone" are success, everything else is an error."""

import errno
from collections.abc import Callable, Iterable, Sequence

from dataplane.errors import DataPlaneError
from dataplane.message import NLM_F_CREATE, Message, Refusal

_ALREADY_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV})


def is_failure(message: Message, refusal: Refusal) -> bool:
    """Did this refusal leave the kernel other than the message wanted it?"""
    if message.flags & NLM_F_CREATE:
        return refusal.number != errno.EEXIST
    return refusal.number not in _ALREADY_GONE


def reason(messages: Iterable[Message], refusals: Iterable[Refusal | None]) -> str | None:
    """Why the first message that really failed did; None if all are done."""
    for message, refusal in zip(messages, refusals, strict=True):
        if refusal is not None and is_failure(message, refusal):
            return str(refusal)
    return None


def settle(
    execute: Callable[[Sequence[Message]], list[Refusal | None]], messages: Sequence[Message], what: str
) -> None:
    """Carry out messages that must all be done. Raises: DataPlaneError."""
    why = reason(messages, execute(messages))
    if why is not None:
        raise DataPlaneError(what, why)
