"""Carries a changed set of neighbours into a running ExaBGP and its bridge, without touching the other sessions.

Owns the order of steps and the proof that each was taken. Refuses what was not tried before (`launch.check`), and to
believe ExaBGP: after each signal the bridge must see exactly the sessions that should be there.

Theory of operation
    ExaBGP 5.0.15 takes a new configuration on SIGUSR1. Measured, with a configuration that is valid: sessions whose
    blocks are the same stay, in 28 of 28 reloads, and so does the bridge. With one that is not, it may end the bridge
    and keep the routes: hence the copies that nobody else writes (`running`). While updates wait to be sent it drops
    the signal without a word: hence the repetition, which is harmless.

    A neighbour that goes: the bridge, which no longer knows it, withdraws; then ExaBGP ends the session. One that
    comes: ExaBGP starts the session, then the bridge is told. One that changed goes first and comes then, for what
    ExaBGP says of its sessions shows neither passwords nor hop limits: only that a session went and came shows that the
    new ones are in use. What differs in bgp.toml alone (communities, prepend, MED) is an UPDATE, no session's end.
"""

import asyncio
import os
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bgp import blocks, client
from bgp.blocks import Change
from bgp.config import Config
from bgp.errors import BgpError, Unanswered
from bgp.running import Running

ANSWER_S = 0.5  # for one answer of the bridge
ASK_EVERY_S = 0.1
SIGNAL_AGAIN_S = 0.5
STEP_S = 4.0  # for the bridge to see what a step should bring; one took 0.1 s to 0.3 s in the lab
RELOADABLE = frozenset({"neighbour", "bfd_configuration", "fellows"})


class Unproved(BgpError):
    """A step was taken and its result is not seen: nobody can say what is announced to whom."""


def compare(old: Config, new: Config, running: Running, text: str) -> Change:
    """What `text`, the exabgp.conf beside `new`, changes. Raises: BgpError if more than neighbours differ."""
    differing = sorted(name for name in Config.model_fields if getattr(old, name) != getattr(new, name))
    if others := [name for name in differing if name not in RELOADABLE]:
        raise BgpError(f"bgp.toml differs in {', '.join(others)}", "restart xsp-bgp to use it")
    before = running.exabgp_configuration.read_text(encoding="utf-8")
    after = blocks.aimed(text, str(running.bridge_configuration))
    return blocks.change(blocks.split(before), blocks.split(after))


async def remove(change: Change, config: Config, text: str, running: Running, exabgp: int) -> None:
    """End the sessions that go or change; `config` and `text` are the new ones. Raises: Unproved, BgpError."""
    gone = change.removed | change.changed
    if not gone:
        return
    stay = tuple(one for one in config.neighbour if str(one.address) in change.kept)
    running.write_bridge(config.model_copy(update={"neighbour": stay}))
    await _told(config.bridge_socket)
    running.write_exabgp(blocks.split(text).only(change.kept))
    await _signalled(config.bridge_socket, exabgp, change.kept)


async def add(change: Change, config: Config, text: str, running: Running, exabgp: int) -> None:
    """Start the sessions that come, and tell each neighbour what is new for it. Raises: Unproved, BgpError."""
    if change.added | change.changed:
        running.write_exabgp(text)
        await _signalled(config.bridge_socket, exabgp, change.kept | change.changed | change.added)
    running.write_bridge(config)
    await _told(config.bridge_socket)


async def _told(bridge: Path) -> None:
    """Have the bridge read its neighbours anew, until ExaBGP has confirmed what follows from it."""
    deadline = asyncio.get_running_loop().time() + STEP_S
    await _ask(bridge, "reload", deadline)
    while not _is_quiet(await _ask(bridge, "status", deadline)):
        await _pause(deadline, "ExaBGP does not confirm what the bridge tells it")


async def _signalled(bridge: Path, exabgp: int, expected: Collection[str]) -> None:
    """Have ExaBGP read its configuration anew, until it lists these neighbours and no other."""
    loop = asyncio.get_running_loop()
    deadline, signal_at = loop.time() + STEP_S, loop.time()
    while True:
        if loop.time() >= signal_at:
            os.kill(exabgp, signal.SIGUSR1)
            signal_at = loop.time() + SIGNAL_AGAIN_S
        await _ask(bridge, "reload", deadline)  # which makes it ask ExaBGP for its neighbours
        await _pause(deadline, "ExaBGP does not show the neighbours of its new configuration")
        status = await _ask(bridge, "status", deadline)
        if status.get("described") and {row["neighbour"] for row in status.get("sessions", [])} == set(expected):
            return


def _is_quiet(status: dict[str, Any]) -> bool:
    return bool(status.get("settled") and status.get("described"))


async def _ask(bridge: Path, question: str, deadline: float) -> dict[str, Any]:
    """Ask until it answers: ExaBGP may just be starting another bridge. Raises: Unproved."""
    while True:
        try:
            return await client.ask(bridge, {"ask": question}, ANSWER_S)
        except Unanswered as error:
            await _pause(deadline, error.what)


async def _pause(deadline: float, what: str) -> None:
    if asyncio.get_running_loop().time() >= deadline:
        raise Unproved(what, "ExaBGP is started anew")
    await asyncio.sleep(ASK_EVERY_S)
