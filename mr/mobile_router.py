"""MobileRouter: the one class to know. `handle(event, now)` -> effects, `next_deadline()`.

Owns the lines' state, the Binding Update list and the timestamp, and names the lines that should carry outgoing
traffic. Every event ends in `_settle`, which compares what is with what should be, so no event needs to know what any
other started. Refuses sockets, clocks and randomness of its own. All or nothing: the state is forked, changed, and
put in place at the end.

A line carries outgoing traffic only while it is usable and the home agent has acknowledged its care-of address. After
a start nothing is said about outgoing traffic until an acknowledgement or the loss of all lines: what a crashed
predecessor left goes on forwarding meanwhile.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address
from typing import assert_never

from mip6.auth import SecurityAssociation
from mip6.numbers import BindingErrorStatus, Status
from mip6.options import MessageIdentification
from mr import acknowledgement, binding_update, revocation
from mr.binding_update import Intent, Purpose
from mr.events import (
    BindingAckReceived,
    BindingErrorReceived,
    BindingUpdateNotSent,
    ClockObserved,
    Count,
    Effect,
    Event,
    HeartbeatReceived,
    Leave,
    LinesReported,
    Note,
    RefreshRequested,
    RevocationReceived,
    RouterPlaneReported,
    SendBindingUpdate,
    SendHeartbeat,
    SendRevocationAck,
    SetHomeAgent,
    SetLines,
    SetUplinks,
    Started,
    StopRequested,
    StoreTimestamp,
    TimeReached,
    UplinkChanged,
)
from mr.registration import BindingUpdateList
from mr.settings import Settings
from mr.stamp import Stamp, Stamps
from mr.state import State
from mr.uplink import Uplink
from mr.view import RouterView, state_name, view_of

STOP_PATIENCE_S = 2.0  # how long a stop waits for the acknowledgement of its deregistration
PLANE_RETRY_S = 1.0  # after a refusal of the kernel
# What a home agent will answer to every update: it is the wrong one. Others mean that we are.
OF_NO_USE = frozenset(
    {
        Status.REASON_UNSPECIFIED,
        Status.INSUFFICIENT_RESOURCES,
        Status.HOME_REGISTRATION_NOT_SUPPORTED,
        Status.NOT_HOME_SUBNET,
        Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE,
        Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED,
        Status.FORWARDING_SETUP_FAILED,
    }
)
ASKED_AGAIN_PAUSE_S = 10.0  # between registrations that somebody unproved asked for


class MobileRouter:
    """The pure mobile router.

    Args:
        settings: who we are and over which lines.
        association: the MN-HA key shared with the home agent.
        draw: random numbers in [0, 1): start of the sequence numbers, jitter of the refreshes.
    """

    def __init__(self, settings: Settings, association: SecurityAssociation, draw: Callable[[], float]) -> None:
        self._association = association
        uplinks = {
            line.bid: Uplink(line.bid, line.name, line.interface, line.weight, line.priority) for line in settings.lines
        }
        # RFC 6275 11.7.1: nothing is known of earlier updates, so the sequence starts at random.
        priorities = {line.bid: line.priority for line in settings.lines}
        updates = BindingUpdateList(draw, settings.lifetime_s, int(draw() * 65536), priorities=priorities)
        self._state = State(settings, uplinks, updates, Stamps(Stamp(0.0)))

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Change state by `event` and say what to do. If it raises, nothing has changed."""
        state = self._state.fork()
        effects = self._apply(state, event, now)
        if state.started and not state.left:
            self._settle(state, now, effects)
        self._state = state
        return effects

    def next_deadline(self) -> float | None:
        """When a TimeReached is next wanted; None for never."""
        return self._state.deadline

    # -- events -------------------------------------------------------------------------------------------------

    def _apply(self, state: State, event: Event, now: float) -> list[Effect]:
        match event:
            case Started(clock_offset_s, last_timestamp):
                state.started = True
                state.stamps = Stamps(Stamp(clock_offset_s, last_timestamp))
                return []
            case ClockObserved(offset_s):
                state.stamps = state.stamps.clock_observed(offset_s)
                return [Note("info", "wall clock stepped", (("offset_s", offset_s),))]
            case UplinkChanged():
                return self._uplink_changed(state, event, now)
            case BindingAckReceived():
                return self._ack_received(state, event, now)
            case HeartbeatReceived():
                return self._heartbeat_received(state, event, now)
            case RevocationReceived():
                return self._revocation_received(state, event, now)
            case BindingErrorReceived():
                return self._binding_error_received(state, event, now)
            case RefreshRequested(source):
                return self._asked_again(state, "refresh_request", source == state.settings.home_agent, False, now)
            case BindingUpdateNotSent(sequence, reason):
                note = Note("warning", "binding update not sent", (("sequence", sequence), ("reason", reason)))
                return [Count("binding_updates_not_sent"), note]
            case RouterPlaneReported():
                return self._plane_reported(state, event, now)
            case LinesReported():
                return self._lines_reported(state, event, now)
            case TimeReached():
                return []
            case StopRequested():
                state.stop_by = now + STOP_PATIENCE_S if state.stop_by is None else state.stop_by
                return []
            case _:
                assert_never(event)

    def _uplink_changed(self, state: State, event: UplinkChanged, now: float) -> list[Effect]:
        before = state.uplinks.get(event.bid)
        if before is None:
            return [Count("unknown_uplinks")]
        after = replace(before, carrier=event.carrier, care_of=event.care_of, gateway=event.gateway)
        state.uplinks[event.bid] = after
        if before.care_of is not None and all(one.care_of != before.care_of for one in state.uplinks.values()):
            state.stamps = state.stamps.forgotten(before.care_of, now)
        if before.usable == after.usable and before.care_of == after.care_of:
            return []
        fields = (("bid", after.bid), ("line", after.name), ("fault", after.fault))
        return [Note("info", "line usable" if after.usable else "line lost", fields)]

    def _ack_received(self, state: State, event: BindingAckReceived, now: float) -> list[Effect]:
        outstanding = state.updates.outstanding
        transmissions = outstanding.transmissions if outstanding is not None else ()
        context = acknowledgement.Context(state.settings, self._association, transmissions)
        verdict = acknowledgement.judge(event, context)
        if isinstance(verdict, str):
            return [Count("binding_acks_dropped", verdict)]
        status = event.message.status
        if status == Status.ID_MISMATCH:
            identification = event.message.first(MessageIdentification)
            assert identification is not None  # judged
            state.stamps = state.stamps.corrected_by(identification.timestamp, verdict.care_of, now)
        else:
            state.stamps = state.stamps.accepted(verdict.timestamp, verdict.sent_at)
        assert outstanding is not None  # judged
        effects: list[Effect] = [
            Count("binding_acks_received", str(int(status))),
            *state.updates.answered(verdict, event.message, now),
        ]
        lines = [line for line in outstanding.intent.lines if state.updates.is_registered(line)]
        if outstanding.intent.purpose is Purpose.REGISTER and status < Status.REASON_UNSPECIFIED:
            state.tests.registered(lines, verdict.care_of, now)
        return effects

    def _heartbeat_received(self, state: State, event: HeartbeatReceived, now: float) -> list[Effect]:
        effects = state.tests.answered(event, state.settings, self._association, now)
        if Count("heartbeats_answered") in effects and state.tests.restarted(event.message):
            effects += self._asked_again(state, "home_agent_restarted", True, False, now)
        return effects

    def _revocation_received(self, state: State, event: RevocationReceived, now: float) -> list[Effect]:
        clock = state.stamps.of(event.destination).clock(now)
        fault = revocation.fault(event, state.settings, self._association, clock, state.revoked_stamp)
        uplink = next((one for one in state.uplinks.values() if one.care_of == event.destination), None)
        if fault or uplink is None:
            return [Count("revocations_dropped", fault or "destination_not_ours")]
        is_repeated = revocation.timestamp(event.message) == state.revoked_stamp
        state.revoked_stamp = revocation.timestamp(event.message)
        bids = revocation.bids(event.message)
        had_any = state.updates.revoked(bids, state.usable(), now) or is_repeated
        settings, answer = state.settings, revocation.acknowledgement(event.message, had_any)
        fields = (("bids", ",".join(map(str, bids)) or "all"), ("trigger", event.message.code))
        return [
            Count("revocations_received"),
            Note("error", "the home agent revoked our bindings", fields),
            SendRevocationAck(answer, event.destination, settings.home_agent, settings.home_address, uplink.interface),
        ]

    def _binding_error_received(self, state: State, event: BindingErrorReceived, now: float) -> list[Effect]:
        """RFC 6275 11.3.6: status 1 says that the home agent has no binding; anybody can say so."""
        ours = event.source == state.settings.home_agent and event.message.home_address == state.settings.home_address
        is_unknown = event.message.status == BindingErrorStatus.UNKNOWN_BINDING
        return self._asked_again(state, "binding_error", ours and is_unknown, True, now)

    def _asked_again(self, state: State, why: str, is_meant: bool, doubt: bool, now: float) -> list[Effect]:
        """Register again because somebody says so, who may be anybody: at most once in a while."""
        recently = state.asked_again_at is not None and now < state.asked_again_at + ASKED_AGAIN_PAUSE_S
        if not is_meant or recently or not state.updates.registered:
            return [Count("requests_ignored", why)]
        state.asked_again_at = now
        if doubt:
            state.updates.doubted()
        else:
            state.updates.refresh_now(now)
        return [Count("registered_again", why), Note("info", "registering again", (("why", why),))]

    def _plane_reported(self, state: State, event: RouterPlaneReported, now: float) -> list[Effect]:
        if event.uplinks != state.plane_wanted:
            return []
        state.plane_reason = event.reason
        state.plane_retry_at = None if event.reason is None else now + PLANE_RETRY_S
        if event.reason is None:
            return []
        return [Count("uplinks_refused"), Note("error", "kernel refused the lines", (("reason", event.reason),))]

    def _lines_reported(self, state: State, event: LinesReported, now: float) -> list[Effect]:
        if event.lines != state.lines_wanted or event.reason is None:
            return []
        state.lines_retry_at = now + PLANE_RETRY_S
        return [Count("lines_refused"), Note("error", "kernel refused a line's routes", (("reason", event.reason),))]

    # -- what should be -----------------------------------------------------------------------------------------

    def _settle(self, state: State, now: float, effects: list[Effect]) -> None:
        updates = state.updates
        effects += updates.expire(now)
        usable = state.usable()
        for bid in list(updates.registered):
            if not any(line.bid == bid and updates.is_registered(line) for line in usable):
                del updates.registered[bid]
        self._settle_home_agent(state, effects)
        self._settle_plane(state, now, effects)  # first: traffic may be dying on a lost line
        self._settle_lines(state, now, effects)
        updates.pursue(updates.intent(usable, state.stop_by is not None, now), now)
        send_at = updates.send_at()
        if send_at is not None and send_at <= now:
            self._transmit(state, now, effects)
        self._settle_tests(state, now, effects)
        self._settle_stop(state, now, effects)
        self._settle_name(state, now, effects)
        deadlines = [
            updates.next_deadline(now),
            state.tests.next_deadline(),
            state.stop_by,
            state.plane_retry_at,
            state.lines_retry_at,
        ]
        pending = [moment for moment in deadlines if moment is not None]
        state.deadline = None if state.left else min(pending, default=None)

    def _settle_home_agent(self, state: State, effects: list[Effect]) -> None:
        """RFC 6275 11.7.1, RFC 5648 5.7, RFC 3963 5.4: one that is silent or of no use is left, if there is another.

        When all of them were of no use in a row, the pause after the last refusal is kept.
        """
        updates, settings = state.updates, state.settings
        if updates.registered:
            state.useless = 0
        refused = updates.refused is not None and updates.refused.status in OF_NO_USE
        if len(settings.home_agents) < 2 or not (refused or updates.gave_up()) or state.stop_by is not None:
            return
        if refused and state.useless >= len(settings.home_agents) - 1:
            return
        state.useless += 1
        state.settings = settings.next_home_agent()
        updates.moved()
        state.tests.moved()
        fields = (("home_agent", str(IPv6Address(state.settings.home_agent))),)
        effects += [
            SetHomeAgent(state.settings.home_agent),
            Count("home_agents_changed"),
            Note("warning", "trying another home agent", fields),
        ]

    def _settle_lines(self, state: State, now: float, effects: list[Effect]) -> None:
        """Before any Binding Update: it must leave by the line whose care-of address it comes from."""
        wanted = state.lines()
        retry = state.lines_retry_at is not None and state.lines_retry_at <= now
        if wanted != state.lines_wanted or retry:
            state.lines_wanted, state.lines_retry_at = wanted, None
            effects.append(SetLines(wanted))

    def _settle_plane(self, state: State, now: float, effects: list[Effect]) -> None:
        wanted = state.carrying()
        if state.plane_wanted is None and not wanted and state.usable():
            return  # a predecessor's lines may still be in the kernel, and in the home agent
        retry = state.plane_retry_at is not None and state.plane_retry_at <= now
        if wanted != state.plane_wanted or retry:
            state.plane_wanted, state.plane_retry_at = wanted, None
            effects.append(SetUplinks(wanted))

    def _transmit(self, state: State, now: float, effects: list[Effect]) -> None:
        updates = state.updates
        assert updates.outstanding is not None
        uplink = state.source(updates.outstanding.sent)
        assert uplink.care_of is not None
        state.stamps = state.stamps.advanced(uplink.care_of, now)
        intent: Intent = updates.outstanding.intent
        transmission = updates.transmit(state.stamps.of(uplink.care_of).last, uplink.care_of, now)
        message = binding_update.message(
            state.settings, intent, transmission.sequence, transmission.timestamp, uplink.care_of
        )
        settings = state.settings
        effects += [
            SendBindingUpdate(message, uplink.care_of, settings.home_agent, settings.home_address, uplink.interface),
            StoreTimestamp(transmission.timestamp),
            Count("binding_updates_sent", intent.purpose.name.lower()),
            Note(
                "debug",
                "binding update sent",
                (
                    ("purpose", intent.purpose.name.lower()),
                    ("bids", ",".join(str(line.bid) for line in intent.lines)),
                    ("sequence", transmission.sequence),
                    ("line", uplink.name),
                    ("overwrite", intent.overwrite),
                ),
            ),
        ]

    def _settle_tests(self, state: State, now: float, effects: list[Effect]) -> None:
        """Heartbeats for the care-of addresses that are only claimed yet."""
        lines = [line for line in state.usable() if state.updates.is_registered(line)]
        state.tests.keep(lines if state.stop_by is None else ())
        settings = state.settings
        for test in state.tests.due(now):
            state.stamps = state.stamps.advanced(test.line.care_of, now)
            timestamp = state.stamps.of(test.line.care_of).last
            message = state.tests.transmit(test, settings, timestamp, now)
            uplink = state.uplinks[test.line.bid]
            effects += [
                SendHeartbeat(message, test.line.care_of, settings.home_agent, settings.home_address, uplink.interface),
                StoreTimestamp(timestamp),
                Count("heartbeats_sent"),
            ]

    def _settle_stop(self, state: State, now: float, effects: list[Effect]) -> None:
        if state.stop_by is None:
            return
        if state.updates.finished or not state.usable() or state.stop_by <= now:
            state.left, state.stop_by = True, None
            state.updates.pursue(None, now)
            effects.append(Leave())

    def _settle_name(self, state: State, now: float, effects: list[Effect]) -> None:
        name = state_name(state)
        if name != state.name:
            effects.append(Note("info", "state changed", (("before", state.name), ("after", name))))
            state.name, state.since = name, now
        elif state.since is None:
            state.since = now

    def view(self, now: float) -> RouterView:
        """What an operator wants to know."""
        return view_of(self._state, now)
