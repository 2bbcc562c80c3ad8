"""ExaBGP's configuration as text: its neighbours' blocks, the rest, and what a new text changes. Pure.

Owns the question which sessions a changed configuration touches. Refuses to understand what stands in a block: two that
differ in more than blanks, comments and the description are two different neighbours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from bgp.errors import BgpError

_START = re.compile(r"^[ \t]*neighbor[ \t]+([0-9A-Fa-f:.]+)[ \t]*\{", re.MULTILINE)
_WORDS = re.compile(r'"[^"\n]*"|#[^\n]*|[{};]|[^\s"#{};]+')
# The program and the arguments that ExaBGP runs as its child.
BRIDGE = re.compile(r"^[^#\n]*\brun\s+([^;#\n]*\bbridge\b[^;#\n]*);", re.MULTILINE)
_CONFIG = re.compile(r"(--config(?:\s+|=))(\S+)")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole exabgp.conf: `blocks` by the neighbour's address, `rest` without them."""

    rest: str
    blocks: Mapping[str, str]

    def only(self, neighbours: frozenset[str]) -> str:
        """The text with these neighbours alone."""
        return self.rest + "".join(f"\n{block}\n" for address, block in self.blocks.items() if address in neighbours)


@dataclass(frozen=True, slots=True)
class Change:
    """What a new configuration does to the sessions. A changed one ends and comes anew."""

    added: frozenset[str]
    removed: frozenset[str]
    changed: frozenset[str]
    kept: frozenset[str]

    def __str__(self) -> str:
        parts = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return "; ".join(f"{verb} {', '.join(sorted(some))}" for verb, some in parts if some) or "no session touched"


def split(text: str) -> Configuration:
    """Take the neighbours out of a configuration. Raises: BgpError if a block has no end, or stands there twice."""
    rest, blocks, at = [], {}, 0
    for start in _START.finditer(text):
        if start.start() < at:  # inside the block before
            continue
        end = _end(text, start.end())
        address = str(ip_address(start[1]))
        if end is None:
            raise BgpError(f"the block of neighbour {address} has no end", "correct the braces in exabgp.conf")
        if address in blocks:
            raise BgpError(f"the neighbour {address} stands twice in exabgp.conf", "leave one of the two")
        rest.append(text[at : start.start()])
        blocks[address] = text[start.start() : end]
        at = end
    return Configuration("".join(rest) + text[at:], blocks)


def change(before: Configuration, after: Configuration) -> Change:
    """The difference. Raises: BgpError if more than neighbours differ: that needs a restart."""
    if _essence(before.rest) != _essence(after.rest):
        raise BgpError("exabgp.conf differs in more than neighbours", "restart xsp-bgp to use it")
    old, new = before.blocks, after.blocks
    kept = frozenset(one for one in old.keys() & new.keys() if _essence(old[one]) == _essence(new[one]))
    return Change(
        added=frozenset(new.keys() - old.keys()),
        removed=frozenset(old.keys() - new.keys()),
        changed=frozenset(old.keys() & new.keys()) - kept,
        kept=kept,
    )


def with_password(text: str) -> frozenset[str]:
    """The neighbours whose TCP segments are signed (RFC 2385). Raises: BgpError as `split`."""
    return frozenset(one for one, block in split(text).blocks.items() if "md5-password" in _essence(block))


def aimed(text: str, bridge_configuration: str) -> str:
    """The same configuration, with a bridge that reads this file. Raises: BgpError if it starts no bridge."""
    run = BRIDGE.search(text)
    if run is None:
        raise BgpError("exabgp.conf starts no bridge", "add a process with `run .../xsp-bgp bridge --config FILE;`")
    command, count = _CONFIG.subn(lambda match: match[1] + bridge_configuration, run[1], count=1)
    if not count:
        raise BgpError("exabgp.conf starts the bridge without --config", "write it as `xsp-bgp bridge --config FILE`")
    return text[: run.start(1)] + command + text[run.end(1) :]


def _end(text: str, at: int) -> int | None:
    """Behind the brace that closes the one before `at`."""
    depth = 1
    for word in _WORDS.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(word[0], 0)
        if depth == 0:
            return word.end()
    return None


def _essence(text: str) -> tuple[str, ...]:
    """What ExaBGP compares when it decides whether a session is still the same: no comments, no description."""
    words = [word for word in _WORDS.findall(text) if not word.startswith("#")]
    described = {at + step for at, word in enumerate(words) if word == "description" for step in range(3)}
    return tuple(word for at, word in enumerate(words) if at not in described)
