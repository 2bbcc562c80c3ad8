"""The local control socket: one JSON line in, one JSON line out, root (or the daemon's own user) only.

Owns the socket file (0600), the check of the peer's uid, and the client side `ask`. Refuses lines over 64 KiB and
unknown commands with an answer that says so.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 64 * 1024
_UCRED = struct.Struct("3i")

Command = Callable[[Mapping[str, Any]], dict[str, Any] | Awaitable[dict[str, Any]]]


class Unreachable(Exception):
    """The daemon does not answer on its control socket.

    Fields: `path` of the socket, `reason` as the system gave it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Refusal(Exception):
    """Raised by a command that cannot be done: `what` and `remedy`, a sentence each, reach the one who asked."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def peer_uid(connection: socket.socket) -> int:
    """The uid of the process at the other end of a Unix socket (SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(credentials)[1])


async def serve(path: Path, commands: Mapping[str, Command]) -> asyncio.Server:
    """Listen on `path`, replacing a socket file that nobody listens on.

    Raises: Unreachable if another process already serves there, OSError if the file cannot be made.
    """
    if await _answered(path):
        raise Unreachable(path, "another process already listens there")
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(lambda r, w: _converse(r, w, commands), path, limit=MAX_LINE_BYTES)
    finally:
        os.umask(before)
    return server


async def _answered(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: Mapping[str, Command]
) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    try:
        if peer_uid(connection) not in (0, os.getuid()):
            return
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(line, commands)).encode() + b"\n")
            await writer.drain()
    except (ValueError, ConnectionError):
        return  # an overlong line or a client that left: its loss alone
    finally:
        writer.close()


async def _answer(line: bytes, commands: Mapping[str, Command]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        name = str(request["do"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"ok": False, "error": "the request is not a JSON object with a key `do`", "remedy": "send one a line"}
    command = commands.get(name)
    if command is None:
        return {
            "ok": False,
            "error": f"unknown command {name!r}",
            "remedy": "use one of " + ", ".join(sorted(commands)),
        }
    try:
        result = command(request)
        reply = await result if isinstance(result, Awaitable) else result
    except Refusal as refusal:
        return {"ok": False, "error": refusal.what, "remedy": refusal.remedy}
    return {"ok": True, **reply}


def is_served(path: Path) -> bool:
    """Whether a process listens on `path`, however busy or stopped it is. Only a certain "no" is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)  # one whose queue is full is there, too
        try:
            connection.connect(str(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


def ask(path: Path, do: str, timeout_s: float = 2.0, **fields: Any) -> dict[str, Any]:
    """Send one command to the daemon behind `path` and return its answer.

    Raises: Unreachable if nobody answers within `timeout_s`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"do": do, **fields}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        except OSError as error:
            raise Unreachable(path, error.strerror or str(error)) from error
    if not line:
        raise Unreachable(path, "the daemon closed the connection without an answer")
    answer: dict[str, Any] = json.loads(line)
    return answer
