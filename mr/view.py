"""The mobile router as an operator sees it: names of states, reasons, lifetimes.

Owns the words of `status` and the log; decides nothing.
"""

from dataclasses import dataclass

from mr.outstanding import Way
from mr.state import State
from mr.uplink import Uplink


@dataclass(frozen=True, slots=True)
class LineView:
    """One line for the status document."""

    uplink: Uplink
    state: str
    registered: bool
    verified: bool
    lifetime_left_s: float | None


@dataclass(frozen=True, slots=True)
class RouterView:
    """The mobile router for the status document."""

    state: str
    since_s: float
    healthy: bool
    home_agent: bytes
    way: str
    reasons: tuple[str, ...]
    lines: tuple[LineView, ...]


def state_name(state: State) -> str:
    """One word: starting, searching, registering, registered, degraded, refused or stopping."""
    if state.stop_by is not None or state.left:
        return "stopping"
    if not state.started:
        return "starting"
    if not state.usable():
        return "searching"
    registered = state.registered()
    if registered:
        return "registered" if len(registered) == len(state.uplinks) else "degraded"
    return "registering" if state.updates.refused is None else "refused"


def view_of(state: State, now: float) -> RouterView:
    """Healthy is a router with at least one line registered and a kernel that took it."""
    lines = tuple(_line_view(state, uplink, now) for _, uplink in sorted(state.uplinks.items()))
    reasons = [f"{line.uplink.name}: {line.uplink.fault or line.state}" for line in lines if not line.registered]
    if state.updates.refused is not None:
        reasons.append(f"the home agent refuses with status {state.updates.refused.status}")
    if state.updates.way is not Way.BULK:
        reasons.append(f"the home agent takes no bulk registrations: {state.updates.way.name.lower()} ones are made")
    if state.plane_reason is not None:
        reasons.append(f"the kernel refuses the lines: {state.plane_reason}")
    healthy = any(line.registered for line in lines) and state.plane_reason is None
    since_s = 0.0 if state.since is None else now - state.since
    way = state.updates.way.name.lower()
    return RouterView(state.name, since_s, healthy, state.settings.home_agent, way, tuple(reasons), lines)


def _line_view(state: State, uplink: Uplink, now: float) -> LineView:
    registered = uplink in state.registered()
    binding = state.updates.registered.get(uplink.bid) if registered else None
    refusal = state.updates.refused_lines.get(uplink.bid)
    if not uplink.usable:
        name = "down"
    elif registered:
        name = "registered"
    else:
        name = "registering" if refusal is None else f"refused with status {refusal.status}"
    left_s = None if binding is None else round(max(0.0, binding.expires_at - now), 1)
    verified = registered and state.tests.verified.get(uplink.bid) == uplink.care_of
    return LineView(uplink, name, registered, verified, left_s)
