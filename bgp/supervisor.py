"""`xsp-bgp run`: starts ExaBGP without rights, watches its bridge, kills what is deaf, withdraws before it stops.

Owns ExaBGP's process, its restarts, bfdd beside it, what is said to the other sites' speakers, and the control socket
with the status. Takes over changed neighbours on SIGHUP or request (`reload`). Refuses to announce anything itself.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bgp import bfd, blocks, client, config, fellows, launch, memory, reload, report
from bgp.backoff import Backoff
from bgp.bfd import BfdDaemons
from bgp.blocks import Change
from bgp.config import Config
from bgp.errors import BgpError, Unanswered
from bgp.megaphones import OtherSites
from bgp.memory import Memory
from bgp.report import History
from bgp.speaker import MRAI_FACTOR
from bgp.watch import DEAF_BRIDGE, LOOK_S, Watch
from runtime import control, log, notify, status
from runtime.counters import Counters
from runtime.exits import Exit
from runtime.history_file import HistoryFile

ANSWER_S = 0.25  # the bridge answers within a millisecond; this is a busy machine
STOP_LINGER_S = 1.0  # depreferenced so long before the withdraw of a planned stop; half of it sufficed in the lab
STOP_LINGER_MAX_S = 60.0  # whatever the neighbours' intervals are: an init system that waits for us has its patience
WIRE_S = 0.1  # `done` means in the RIB; the UPDATE left within 11 ms in the lab
STOP_S = 3.0  # then SIGKILL, which closes the sessions as well
HISTORY = "history-bgp.jsonl"  # in the state directory


def stop_linger_s(mrai_s: float) -> float:
    """How long a planned stop is depreferenced before it withdraws, by the longest interval of the neighbours.

    Above 30 s it may overtake what such a neighbour holds back: who needs more drains first, which takes its time.
    """
    return max(STOP_LINGER_S, min(MRAI_FACTOR * mrai_s, STOP_LINGER_MAX_S))


class Supervisor:
    """One site's ExaBGP, for as long as this process runs."""

    def __init__(self, file: Path, settings: Config) -> None:
        self._file, self._config = file, settings
        self._running = launch.running(settings)
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()  # asked for by signal
        self._condemned: str | None = None  # why this ExaBGP has to go
        self._log = log.get().bind(instance=settings.instance)
        self._counters = Counters()
        self._process: asyncio.subprocess.Process | None = None
        self._passwords: frozenset[str] = frozenset()  # the neighbours that have one
        self._version = ""
        self._bridge: Mapping[str, Any] | None = None  # its last answer, None once it missed one
        self._answered_at = 0.0
        self._bridge_pid, self._bridge_since = 0, 0.0
        self._state, self._since = "starting", time.monotonic()
        self._stop = asyncio.Event()
        self._backoff = Backoff()
        self._remembered: Memory | None = None  # what the next bridge will know
        self._history = History(lambda *entries: self._history_file.add(*entries))
        self._history_file = HistoryFile(settings.state_directory / HISTORY, self._history.entries)
        self._bfd = self._bfd_daemons(settings)
        self._bfd_task: asyncio.Task[None] | None = None
        self._others = OtherSites(settings.instance, self._counters, self._is_heard)
        self._others.check(settings.fellows)

    async def run(self) -> int:
        """Check, start, watch, until SIGTERM or SIGINT.

        Raises: BgpError if it cannot start at all.
        """
        loop = asyncio.get_running_loop()
        self._version = launch.exabgp_version()
        text = launch.check(self._config)
        if self._config.bfd_configuration is not None:
            bfd.check(self._config.bfd_configuration)
        launch.prepare(self._config)
        if self._bfd is not None:
            self._bfd.prepare()
        await self._others.change(self._config.fellows)
        try:
            commands: dict[str, control.Command] = {
                "status": lambda _: self.status(),
                "reload": lambda _: self.reload(),
            }
            server = await control.serve(self._config.control_socket, commands)
        except control.Unreachable as error:
            raise BgpError(f"{error.path}: {error.reason}", "stop the other xsp-bgp first", Exit.CONFLICT) from error
        except OSError as error:
            raise BgpError(f"the control socket cannot be made: {error}", "run as root, or correct bgp.toml") from error
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._history.restore(self._history_file.load())
        self._running.write(self._config, text)
        self._passwords = blocks.with_password(text)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        user = self._config.user if os.geteuid() == 0 else "our own"
        self._log.info("supervisor started", exabgp=self._version, user=user, capabilities="none")
        self._bfd_task = loop.create_task(self._bfd.run()) if self._bfd is not None else None
        try:
            while not self._stop.is_set():
                await self._run_once()
        finally:
            await self._others.close()
            await _end([*self._reloads, *([self._bfd_task] if self._bfd_task is not None else [])])
            server.close()
            self._history_file.close()
            self._config.control_socket.unlink(missing_ok=True)
        self._log.info("supervisor stopped")
        return Exit.DONE

    def _is_heard(self) -> bool:
        return fellows.is_heard(self._bridge, time.monotonic() - self._answered_at)

    # -- one run of ExaBGP

    async def _run_once(self) -> None:
        started_at = time.monotonic()
        self._remember(time.time())
        words = launch.exabgp("server", str(self._running.exabgp_configuration))
        self._process = await asyncio.create_subprocess_exec(
            *launch.unprivileged(self._config.user, words),
            env=launch.environment(self._config.user),
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,  # a Ctrl-C at the terminal is ours alone: we withdraw first
        )
        self._counters.add("exabgp_starts_total")
        self._log.info("exabgp started", pid=self._process.pid)
        self._history.note(time.time(), "ExaBGP", "none", "running", "", 0.0)
        try:
            verdict = await self._watch(self._process)
            if self._stop.is_set() and verdict is None:
                notify.stopping()
                await self._withdraw_and_stop(self._process)
                await self._kill(self._process)
                self._exabgp_over("xsp-bgp was asked to stop", started_at)
                return
        finally:
            await self._kill(self._process)
        condemned, self._condemned = self._condemned, None
        reason = condemned or verdict or f"ExaBGP ended by itself with status {self._process.returncode}"
        self._counters.add("exabgp_ends_total", "killed" if verdict else "replaced" if condemned else "ended")
        delay_s = self._backoff.next(time.monotonic() - started_at)
        self._enter("restarting")
        self._log.error("exabgp is started anew", reason=reason, delay_s=delay_s)
        self._exabgp_over(reason, started_at)
        await self._pause(delay_s)

    def _exabgp_over(self, reason: str, started_at: float) -> None:
        """And its bridge with it."""
        self._bridge_over(f"with ExaBGP: {reason}")
        self._history.note(time.time(), "ExaBGP", "running", "none", reason, time.monotonic() - started_at)

    async def _watch(self, process: asyncio.subprocess.Process) -> str | None:
        """Look at the bridge until ExaBGP ends or we are to stop (None), or ExaBGP deserves to die (why)."""
        watch = Watch(self._config.deaf_after_s, time.monotonic())
        while process.returncode is None and not self._stop.is_set():
            seen_before = watch.seen
            try:
                answer = await client.ask(self._config.bridge_socket, self._question(), ANSWER_S)
            except Unanswered as error:
                self._bridge, pause_s = None, LOOK_S if error.away else 0.0  # a deaf one took its time
                verdict = watch.silent(error.away, time.monotonic())
            else:
                pause_s = LOOK_S
                self._take(answer)
                verdict = watch.answered(float(answer.get("overdue_s", 0.0)), time.monotonic())
            if verdict == DEAF_BRIDGE and watch.spare_exabgp() and self._end_bridge(process.pid):
                verdict = None
            if verdict is not None:
                return verdict
            if watch.seen and not seen_before:
                notify.ready()
            await self._pause(pause_s)
        return None

    def _end_bridge(self, exabgp: int) -> bool:
        """SIGKILL to a bridge that does not answer: ExaBGP starts another at once, and its sessions live.

        Only to ExaBGP's own child, whatever a bridge said its process id was. Returns: whether it was killed.
        """
        if not launch.is_child(pid := self._bridge_pid, exabgp):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._counters.add("bridge_ends_total", "killed")
        self._log.error("bridge killed, it does not answer", pid=pid)
        self._bridge_over(DEAF_BRIDGE)
        return True

    def _bridge_over(self, reason: str) -> None:
        """It is no more; its sessions may live."""
        if self._bridge_pid:
            self._history.note(time.time(), "bridge", "running", "none", reason, time.monotonic() - self._bridge_since)
            self._bridge_pid = 0

    def _remember(self, starting_at: float | None = None) -> None:
        """For the next bridge: ExaBGP may start one without asking us."""
        known = memory.remember(self._history.entries(), starting_at)
        try:
            if known != self._remembered:
                self._running.write_memory(known)
                self._remembered = known
        except BgpError as error:
            self._log.warning("what the next bridge should know is not written", reason=error.what)

    def _question(self) -> dict[str, Any]:
        """How is the bridge; and whether another site announces, which it must know when its lease has run out."""
        ago = self._others.said_s_ago()
        return {"ask": "others", "said_ms_ago": None if ago is None else int(ago * 1000), "after": self._history.last}

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._bridge, self._answered_at = answer, time.monotonic()
        if answer.get("pid") != self._bridge_pid:
            self._bridge_over("it ended by itself, or somebody killed it; ExaBGP has started another")
            self._bridge_pid, self._bridge_since = int(answer.get("pid", 0)), time.monotonic()
            self._history.note(time.time(), "bridge", "none", "running", "", 0.0)
            self._counters.add("bridge_starts_total")
            self._history.new_bridge()  # which was asked for what follows the old one's last: not yet all of its own
            self._log.info("bridge answers", pid=self._bridge_pid)
            launch.own_socket(self._config)
        elif self._history.take(answer.get("history", ())):
            self._remember()
        self._enter(str(answer.get("state")))

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state, self._since = state, time.monotonic()
            notify.status(state)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _bfd_daemons(self, settings: Config) -> BfdDaemons | None:
        """Raises: BgpError."""
        if settings.bfd_configuration is None:
            return None
        place, told = settings.bfd_directory, self._history.bfd
        return BfdDaemons(settings.bfd_configuration, place, self._counters, lambda *one: told(time.time(), *one))

    # -- stopping

    async def _withdraw_and_stop(self, process: asyncio.subprocess.Process) -> None:
        linger_s = stop_linger_s(max(neighbour.mrai_s for neighbour in self._config.neighbour))
        self._log.info("withdrawing before the stop", linger_s=linger_s)
        deadline = time.monotonic() + linger_s + 2
        question = {"ask": "stop", "linger_ms": int(linger_s * 1000)}
        while process.returncode is None and time.monotonic() < deadline:
            try:
                answer = await client.ask(self._config.bridge_socket, question, ANSWER_S)
            except Unanswered as error:
                self._log.error("the bridge cannot withdraw, the sessions are closed instead", reason=error.what)
                return
            self._take(answer)
            if answer.get("state") == "stopped" and answer.get("settled"):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(WIRE_S)
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            self._log.warning("exabgp ignored SIGTERM")

    async def _kill(self, process: asyncio.subprocess.Process) -> None:
        """Make sure it is gone; the kernel then kills the bridge."""
        self._bridge = None
        if process.returncode is None:
            self._log.warning("exabgp killed", pid=process.pid)
            process.kill()
        await process.wait()

    # -- changed neighbours

    def _reload_soon(self) -> None:
        async def reload_and_log() -> None:
            with contextlib.suppress(control.Refusal):  # it is in the log
                await self.reload()

        task = asyncio.get_running_loop().create_task(reload_and_log())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def reload(self) -> dict[str, Any]:
        """Take over changed neighbours and other sites; sessions that are the same in both configurations go on.

        All or nothing.

        Raises: control.Refusal saying why nothing was changed.
        """
        async with self._reloading:
            try:
                new = await asyncio.to_thread(config.load, self._file)
                text = await asyncio.to_thread(launch.check, new)
                change = reload.compare(self._config, new, self._running, text)
                if new.bfd_configuration is not None:
                    bfd.check(new.bfd_configuration)
                async with self._others.changed(new.fellows):
                    await self._change(change, new, text)
            except BgpError as error:
                self._log.error("the changed configuration is not used", what=error.what, remedy=error.remedy)
                raise control.Refusal(error.what, error.remedy) from error
            self._log.info("configuration read anew", neighbours=str(change))
            self._history.note(time.time(), "neighbours", "", str(change), "configuration read anew", 0.0)
            return {"neighbours": str(change)}

    async def _change(self, change: Change, new: Config, text: str) -> None:
        process = self._process
        try:
            if process is None or process.returncode is not None:
                self._running.write(new, text)  # the next ExaBGP will read it
            elif change.kept:
                await reload.remove(change, new, text, self._running, process.pid)
                await self._change_bfd(new)
                await reload.add(change, new, text, self._running, process.pid)
            else:
                self._condemned = f"all its neighbours change: {change}"
                await self._withdraw_and_stop(process)
        except reload.Unproved as error:
            self._condemned = error.what
            self._log.error("the change was not seen to arrive", reason=error.what, remedy=error.remedy)
        if self._condemned is not None and process is not None:
            self._running.write(new, text)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self._change_bfd(new)
        self._config, self._passwords = new, blocks.with_password(text)

    async def _change_bfd(self, new: Config) -> None:
        if self._bfd is not None and new.bfd_configuration is not None:
            await self._bfd.change(new.bfd_configuration)
            return
        if self._bfd_task is not None:
            await _end([self._bfd_task])
        self._bfd, self._bfd_task = self._bfd_daemons(new), None
        if self._bfd is not None:
            self._bfd.prepare()
            self._bfd_task = asyncio.get_running_loop().create_task(self._bfd.run())

    # -- status

    async def status(self) -> dict[str, Any]:
        """The status document: what ExaBGP and the sessions report, beside what the lease holder wants."""
        peers = await self._bfd.peers() if self._bfd is not None else None
        bridge = self._bridge or {}
        rows = report.neighbours(self._config.neighbour, bridge)
        complaints = report.complaints(rows, bridge, peers, self._passwords)
        return status.document(
            program="xsp-bgp",
            instance=self._config.instance,
            state=self._state,
            since_s=bridge.get("since_s", time.monotonic() - self._since),
            reasons=[*([bridge["reason"]] if "reason" in bridge else []), *complaints],
            counters={**self._counters.as_dict(), **bridge.get("counters", {})},
            healthy=not complaints,
            sections={
                "exabgp": {"version": self._version, "pid": self._process.pid if self._process else None},
                "lease": {"holder": bridge.get("holder"), "bridge": bridge.get("pid")},
                "confirmed": bridge.get("sent", []),
                "neighbours": rows,
                "bfd": peers,
                "other_sites": self._others.table(),
                "history": self._history.entries(),
            },
        )


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
