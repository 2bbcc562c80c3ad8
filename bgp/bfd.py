"""FRR's bfdd beside ExaBGP, which has no BFD, and the zebra that tells it of interfaces. RFC 5880, RFC 5881.

Owns both processes: their folder, their restarts, the end of one that hangs, and whatever a supervisor before us
left of them. Refuses to decide anything by BFD's state: the neighbour does, and closes the BGP session.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bgp.backoff import Backoff
from bgp.errors import BgpError
from runtime import log
from runtime.counters import Counters

BfdChanged = Callable[[str, str, str, str, float], None]
PROGRAMS = Path("/usr/lib/frr")
ZEBRA, BFDD = "zebra", "bfdd"
USER = "frr"  # FRR drops its privileges to this user itself, and keeps the capabilities it needs
START_S = 5.0
ASK_S = 2.0
LOOK_S = 1.0  # between two questions whether they live
_END = b"\0\0\0"
ANSWER_BYTES = 1024 * 1024  # some hundred a peer
SILENT_MAX = 3  # so many without an answer: it hangs, and the site would have no BFD until somebody saw it
MISSING = 4  # exit status


def check(configuration: Path) -> None:
    """Everything that can be known before the start. Raises: BgpError."""
    for name in (ZEBRA, BFDD):
        if not (PROGRAMS / name).exists():
            remedy = "install frr, or render the site without BFD"
            raise BgpError(f"BFD is asked for, but {PROGRAMS / name} is missing", remedy, MISSING)
    _read(configuration)


def _read(configuration: Path) -> str:
    try:
        return configuration.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BgpError(f"{configuration} cannot be read ({error})", "render the site's files anew") from error


def _peers(text: str) -> dict[str, list[str]]:
    """`peer ...` -> the lines below it, of a rendered bfdd.conf."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("peer "):
            lines = found.setdefault(line, [])
        elif line not in ("", "bfd", "exit") and not line.startswith("!"):
            lines.append(line)
    return found


class Seen:
    """The BFD sessions as they were last seen."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}

    def look(self, rows: Iterable[Mapping[str, Any]], now: float) -> list[tuple[str, str, str, str, float]]:
        """What is otherwise now: neighbour, before, after, reason, and how long the former had lasted.

        One that is not listed is gone: with bfdd, or out of its configuration.
        """
        listed = {str(row["peer"]): (str(row["status"]), str(row.get("diagnostic", ""))) for row in rows}
        found = []
        for neighbour in sorted(listed.keys() | self._known.keys()):
            state, reason = listed.get(neighbour, ("none", "bfdd does not list it"))
            before, since = self._known.get(neighbour, ("none", now))
            if state != before:
                said = "" if reason == "ok" else reason
                found.append((neighbour, before, state, said, now - since))
                self._known[neighbour] = (state, now)
        return found


class BfdDaemons:
    """One site's BFD, from `run` until it is cancelled.

    Args:
        configuration: for bfdd. directory: for their sockets and pid files; it is made, for FRR's user.
        changed: called with a peer's address, the state before, the state now, bfdd's reason, and how many seconds the
            former had lasted.
    """

    def __init__(
        self,
        configuration: Path,
        directory: Path,
        counters: Counters,
        changed: BfdChanged = lambda *_: None,
    ) -> None:
        self._configuration, self._directory, self._counters = configuration, directory, counters
        self._changed, self._seen = changed, Seen()
        self._present = _peers(_read(configuration))
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._log = log.get()

    async def run(self) -> None:
        """Keep both alive."""
        try:
            await asyncio.gather(
                self._keep(ZEBRA, Path(os.devnull), None),
                self._keep(BFDD, self._configuration, ZEBRA),
                self._watch_peers(),
            )
        finally:
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            for process in self._processes.values():
                await process.wait()

    def prepare(self) -> None:
        """Make their folder, and end what was left in it. Raises: BgpError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._directory.chmod(0o755)
            shutil.chown(self._directory, USER, USER)
        except (OSError, LookupError) as error:
            raise BgpError(
                f"the folder for bfdd cannot be made ({error})", "run as root, with frr installed"
            ) from error
        for name in (ZEBRA, BFDD):
            self._end_leftover(name)

    async def change(self, configuration: Path) -> None:
        """Have the running bfdd take over other peers; those that stay the same go on. Raises: BgpError."""
        new = _peers(_read(configuration))
        orders = [f"no {peer}" for peer in self._present if peer not in new]
        for peer, lines in new.items():
            if self._present.get(peer) != lines:
                orders += [peer, *lines, "exit"]
        self._configuration, self._present = configuration, new
        if orders:
            words = [word for order in ("configure terminal", "bfd", *orders) for word in ("-c", order)]
            await self._vtysh(*words)  # one that does not run reads its file when it starts

    async def peers(self) -> list[dict[str, Any]]:
        """Each session as bfdd reports it; empty if it does not answer."""
        with contextlib.suppress(ValueError):
            said = json.loads(await self._vtysh("-c", "show bfd peers json"))
            return [{"address": row["peer"], "state": row["status"]} for row in said]
        return []

    async def _vtysh(self, *words: str) -> bytes:
        """What the daemons answered, empty if they did not."""
        with contextlib.suppress(OSError, TimeoutError):
            asking = await asyncio.create_subprocess_exec(
                "vtysh",
                "--vty_socket",
                str(self._directory),
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                return (await asyncio.wait_for(asking.communicate(), ASK_S))[0]
            finally:
                if asking.returncode is None:
                    asking.kill()
        return b""

    # -- processes

    def _end_leftover(self, name: str) -> None:
        """A supervisor that was killed leaves them: FRR's change of user clears the signal at its parent's death."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self._directory / f"{name}.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0].endswith(name.encode()) and str(self._directory).encode() in words:
                os.kill(pid, signal.SIGKILL)
                self._log.info("left-over process ended", program=name, pid=pid)

    async def _keep(self, name: str, configuration: Path, after: str | None) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff()
        while True:
            if after is not None:
                await self._wait_for(after)
            began = loop.time()
            try:
                status: int | str | None = await self._run_once(name, configuration)
            except OSError as error:
                status = str(error)
            delay_s = backoff.next(loop.time() - began)
            self._log.error("bfd process ended", program=name, status=status, again_in_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _run_once(self, name: str, configuration: Path) -> int | None:
        process = await asyncio.create_subprocess_exec(
            *self._words(name, configuration),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )
        self._processes[name] = process
        self._counters.add("bfd_starts_total", name)
        self._log.info("bfd process started", program=name, pid=process.pid)
        watch = asyncio.get_running_loop().create_task(self._end_if_it_hangs(name, process))
        try:
            return await process.wait()
        finally:
            watch.cancel()

    async def _end_if_it_hangs(self, name: str, process: asyncio.subprocess.Process) -> None:
        await asyncio.sleep(START_S)
        silent = 0
        while silent < SILENT_MAX:
            await asyncio.sleep(LOOK_S)
            silent = 0 if await self._answers(name) else silent + 1
        self._counters.add("bfd_ends_total", name)
        self._log.error("bfd process killed, it does not answer", program=name, pid=process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def _watch_peers(self) -> None:
        """Tell of each change of a session; `changed` hears of it within a second."""
        while True:
            await asyncio.sleep(LOOK_S)
            told = await self._ask(BFDD, "show bfd peers json")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                rows = json.loads(told) if told else []
                for change in self._seen.look(rows, asyncio.get_running_loop().time()):
                    self._changed(*change)

    async def _answers(self, name: str) -> bool:
        return await self._ask(name) is not None

    async def _ask(self, name: str, *commands: str) -> bytes | None:
        """On the socket of vtysh, whose protocol is a command and a NUL, then text, three NULs and a status.

        Returns: the last command's text, of `enable` if there is no other; None if no answer came within `LOOK_S`.
        """
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(LOOK_S):
                reader, writer = await asyncio.open_unix_connection(self._directory / f"{name}.vty", limit=ANSWER_BYTES)
                try:
                    text = b""
                    for command in ("enable", *commands):  # without the first it knows no other
                        writer.write(command.encode() + b"\0")
                        text = (await reader.readuntil(_END)).removesuffix(_END)
                        await reader.readexactly(1)
                    return text
                finally:
                    writer.close()
        return None

    async def _wait_for(self, name: str) -> None:
        """bfdd that finds no zebra tries again only ten seconds later."""
        until = asyncio.get_running_loop().time() + START_S
        while not (self._directory / f"{name}.vty").exists() and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)

    def _words(self, name: str, configuration: Path) -> list[str]:
        place = self._directory
        words = [str(PROGRAMS / name), "-f", str(configuration), "-i", str(place / f"{name}.pid")]
        words += ["-z", str(place / "zserv.api"), "--vty_socket", str(place), "-P", "0", "--log", "stdout"]
        return [*words, "--bfdctl", str(place / "bfdd.sock")] if name == BFDD else words
