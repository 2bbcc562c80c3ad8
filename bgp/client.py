"""What `ha/daemon.py` holds: hands over what is wanted, the latest wins, and nothing here ever blocks the loop.

Owns the connection to the lease socket: connect, reconnect, the numbering of renewals, the last answer. Refuses to
renew on its own: a home agent whose core hangs must lose the lease. Refuses to queue: with WINDOW renewals unanswered
only the newest one is kept, so that a bridge that comes back reads no old wishes.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bgp import lease
from bgp.errors import MalformedLine, Unanswered
from bgp.events import LeaseRenewed, Session, Wanted
from bgp.lease import Answer, Refusal, Renewal
from bgp.route import Route
from bgp.speaker import LEASE_S

WINDOW = 3  # renewals without an answer; as many as a lease lasts
SILENT_S = 1.0  # without an answer; xsp-bgp ends a bridge that is silent for less
RECONNECT_S = 0.05  # a bridge is respawned within some 100 ms


class LeaseClient:
    """Renews the lease of one site's announcement.

    Call `renew` every 100 ms inside the running loop, read `answer`, `connected` and `refusal` at will,
    `await close()` at the end: the bridge then depreferences at once and withdraws after the last linger.
    `on_answer` is called with every answer or refusal, `on_lost` when the connection ends.
    """

    def __init__(
        self,
        path: Path | str,
        on_answer: Callable[[Answer | Refusal], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.answer: Answer | None = None
        self.refusal: Refusal | None = None
        self.answered_at: float | None = None  # on the running loop's clock
        self._heard_at = 0.0  # the same, or when the connection was made
        self.connected = False
        self._path = Path(path)
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._seq = 0
        self._unanswered = 0
        self._waiting: tuple[LeaseRenewed, float] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    # -- what is known

    @property
    def state(self) -> str:
        """The speaker's state as last answered over this connection, or `unknown`."""
        return self.answer.state if self.answer is not None else "unknown"

    @property
    def sent(self) -> tuple[str, ...]:
        """The prefixes that ExaBGP has confirmed, as last answered."""
        return self.answer.sent if self.answer is not None else ()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The BGP sessions, as last answered."""
        return self.answer.sessions if self.answer is not None else ()

    @property
    def trouble(self) -> str | None:
        """Why this client's wishes do not count, in a sentence with what to do; None if they do, or none was said."""
        if self._task is None:
            return None
        if self.refusal is not None:
            return f"xsp-bgp refuses the lease: {self.refusal.error} ({self.refusal.remedy})"
        if not self.connected:
            return f"xsp-bgp is not there: nobody answers at {self._path} (start xsp-bgp, or see its log)"
        if self._unanswered >= WINDOW and asyncio.get_running_loop().time() - self._heard_at > SILENT_S:
            return "xsp-bgp does not answer (see its log)"
        return None

    @property
    def mrai_s(self) -> float:
        """The longest advertisement interval of the neighbours, as last answered."""
        return self.answer.mrai_s if self.answer is not None else 0.0

    # -- what is wanted

    def renew(self, wanted: Wanted | str, reason: str, linger_ms: int, routes: tuple[Route, ...]) -> None:
        """Renew the lease with this wish; never blocks, never raises for anything the bridge does."""
        loop = asyncio.get_running_loop()
        self._waiting = (LeaseRenewed(Wanted(wanted), reason, linger_ms, tuple(routes)), loop.time())
        if self._task is None:
            self._task = loop.create_task(self._stay_connected(), name="lease client")
        self._send_waiting()

    def _send_waiting(self) -> None:
        writer = self._writer
        if writer is None or self._waiting is None or self._unanswered >= WINDOW:
            return
        event, since = self._waiting
        self._waiting = None
        if asyncio.get_running_loop().time() - since > LEASE_S:
            return  # older than a lease: whoever wished this has not said so again
        self._seq += 1
        self._unanswered += 1
        writer.write(lease.encode_renewal(Renewal(self._seq, event)))

    async def close(self) -> None:
        """Let go of the lease."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._disconnect()

    # -- the connection

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, MalformedLine):
                reader, self._writer = await asyncio.open_unix_connection(self._path, limit=lease.MAX_LINE_BYTES)
                self.connected, self._unanswered = True, 0
                self._heard_at = asyncio.get_running_loop().time()
                self._send_waiting()
                await self._listen(reader)
            self._disconnect()
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            reply = lease.decode_answer(line)
            self.answered_at = self._heard_at = asyncio.get_running_loop().time()
            self._unanswered = max(0, self._unanswered - 1)
            if isinstance(reply, Answer):
                self.answer, self.refusal = reply, None
            else:
                self.answer, self.refusal = None, reply
            if self._on_answer is not None:
                self._on_answer(reply)
            self._send_waiting()

    def _disconnect(self) -> None:
        was_connected, self.connected = self.connected, False
        writer, self._writer, self.answer, self.refusal = self._writer, None, None, None
        if writer is not None:
            writer.close()
        if was_connected and self._on_lost is not None:
            self._on_lost()


async def ask(path: Path, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Ask the bridge once, on a connection of its own, without becoming the holder.

    Raises: Unanswered; its `away` tells a bridge that is not there from one that does not answer.
    """
    try:
        return await asyncio.wait_for(_converse(path, question), timeout_s)
    except TimeoutError as error:
        raise Unanswered(f"the bridge does not answer within {timeout_s} s", away=False) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Unanswered(f"no bridge is there ({error})", away=True) from error


async def _converse(path: Path, question: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path, limit=lease.MAX_LINE_BYTES)
    try:
        writer.write(lease.encode({"v": lease.VERSION, **question}))
        answer = json.loads(await reader.readline())
        if not isinstance(answer, dict) or "error" in answer:
            raise ValueError(f"it answered {answer!r}")
        return answer
    finally:
        writer.close()
