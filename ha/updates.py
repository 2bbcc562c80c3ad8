"""Binding Updates: judged, made a record, given to the data plane, and answered when what they say is true.

Theory of operation. The order of STYLE's walk: `registration` judges; a refusal is answered and that is the end. What
is accepted becomes the wanted record and an order to the data plane; its report releases the acknowledgement, by way
of the peers if the policy says so. What the kernel refused is taken back and refused. A refresh that changes no entry
skips the data plane.
"""

from ha import acknowledgement, exchange, forwarding, registration
from ha.cache import LocalChange, Pending
from ha.effects import Effect, Note
from ha.events import BindingUpdateReceived, ForwardingRepaired, ForwardingReported
from ha.limits import Cost
from ha.prefix import address_text
from ha.state import State
from ha.verdict import Accepted, Case, Discarded, Refused
from mip6.numbers import Status

RETRY_S = 1.0  # after a refusal by the kernel


def received(state: State, event: BindingUpdateReceived, now: float) -> list[Effect]:
    """A Binding Update came in."""
    home = event.home_address if event.home_address is not None else event.source
    case = Case(
        update=event.update,
        octets=event.octets,
        source=event.source,
        home_address=event.home_address,
        customer=state.table.customers.get(home),
        record=state.believed(home, now),
        policy=state.policy,
        now=now,
        clock=state.clock(now),
        exhausted=state.limits.exhausted(Cost.UPDATE, home, now),
    )
    verdict = registration.judge(case)
    match verdict:
        case Discarded(reason):
            state.counters.add("binding_updates_discarded", reason)
            return []
        case Refused():
            return _refuse(state, case, verdict, now)
        case Accepted():
            return _accept(state, case, verdict, now)


def _refuse(state: State, case: Case, verdict: Refused, now: float) -> list[Effect]:
    state.counters.add("binding_updates_refused", f"{int(verdict.status)} {verdict.reason}")
    if verdict.stranger:
        if not state.strangers.within_budget(now, state.undo):
            return []
    elif verdict.status == Status.ID_MISMATCH:
        if not state.limits.spend(Cost.CORRECTION, case.home, now, state.undo):
            state.counters.add("answers_suppressed", "corrections")
            return []
    else:
        state.limits.spend(Cost.UPDATE, case.home, now, state.undo)
    fields = {
        "home_address": address_text(case.home),
        "source": address_text(case.source),
        "status": int(verdict.status),
        "reason": verdict.reason,
    }
    return [acknowledgement.acknowledge(case, verdict), Note("warning", "binding update refused", fields)]


def _accept(state: State, case: Case, verdict: Accepted, now: float) -> list[Effect]:
    state.counters.add("binding_updates_accepted")
    state.limits.spend(Cost.UPDATE, case.home, now, state.undo)
    state.undo.drop(state.revocations, case.home)  # it is back, by the same site's leave: nothing to insist on
    record, answer = verdict.record, acknowledgement.acknowledge(case, verdict)
    cache = state.cache
    before = cache.records.get(case.home)  # not `case.record`, for a refusal must leave no trace
    cache.put(record, state.undo)
    if cache.is_settled(case.home) and forwarding.unchanged(case.record, record, now):
        return state.changed(record, answer, now)
    entry = state.entry(record, now)
    if cache.holds(case.home, entry):
        return state.changed(record, answer, now)
    kernel_refused = Refused(Status.INSUFFICIENT_RESOURCES, "forwarding_refused")
    local = LocalChange(answer, acknowledgement.acknowledge(case, kernel_refused), before)
    return [cache.begin(case.home, entry, local, (), state.undo)]


def reported(state: State, event: ForwardingReported, now: float) -> list[Effect]:
    """The data plane carried out orders, or could not."""
    effects: list[Effect] = []
    for home_address, (generation, error) in event.results.items():
        pending = state.cache.reported(home_address, generation, error, now + RETRY_S, state.undo)
        if pending is None:
            continue
        if error is None:
            effects += _installed(state, home_address, pending, now)
        else:
            effects += _not_installed(state, home_address, pending, error, now)
    return effects


def repaired(state: State, event: ForwardingRepaired, now: float) -> list[Effect]:
    """The kernel holds again what it held before; what it now refuses is tried again like any other refusal."""
    lost = [home for home, entry in event.wanted.items() if event.results.get(home) is not None]
    for home_address in lost:
        if state.cache.installed.get(home_address) == event.wanted[home_address]:
            state.cache.confirm(home_address, None, state.undo)
            state.undo.put(state.cache.unsettled, home_address, now + RETRY_S)
    state.counters.add("data_plane_repairs")
    fields = {"customers": len(event.wanted), "refused": len(lost)}
    return [Note("warning", "data plane repaired: somebody else had changed what is ours", fields)]


def _installed(state: State, home_address: bytes, pending: Pending, now: float) -> list[Effect]:
    effects: list[Effect] = [
        exchange.acknowledgement(state, site, index)
        for site, index in pending.promised
        if state.replication.paid(site, index, state.undo)
    ]
    record = state.cache.records.get(home_address)
    if pending.local and record is not None:
        # Meanwhile it may have expired, or the customer been suspended: then a status 0 would not be true.
        in_force = pending.entry is not None or not pending.local.accepted.ack.lifetime_s
        answer = pending.local.accepted if in_force else pending.local.refused
        effects += state.changed(record, answer, now)
        effects.append(Note("info", "binding changed", forwarding.describe(home_address, pending.entry)))
    return effects


def _not_installed(state: State, home_address: bytes, pending: Pending, error: str, now: float) -> list[Effect]:
    """The kernel refused. A BU's change is taken back and refused; a peer's or our own stays, to be tried again."""
    state.counters.add("forwarding_refused")
    fields = {"home_address": address_text(home_address), "reason": error}
    effects: list[Effect] = [Note("error", "forwarding refused by the kernel", fields)]
    if pending.local is None:
        for site, index in pending.promised:
            state.replication.cannot_pay(site, index, state.undo)
        return effects
    if pending.local.fallback is None:
        state.cache.forget(home_address, state.undo)
    else:
        state.cache.put(pending.local.fallback, state.undo)
    wanted = state.entry(pending.local.fallback, now)
    effects.append(pending.local.refused)
    effects.append(state.cache.begin(home_address, wanted, None, pending.promised, state.undo))
    return effects
