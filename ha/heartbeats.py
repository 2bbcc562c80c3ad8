"""Heartbeats (RFC 5847): are we alive, did we lose state, and does the router hear at this care-of address?

Theory of operation. `mip6.care_of_proof` says what the messages carry. Whoever proves to be a customer's router and
asks from one of its care-of addresses is told by a cookie, sent to that address, what it must say next; when it says
it, the binding is verified, at every site. Then, and for those verified already, the answer carries no cookie. A
care-of address that we do not know (the binding may be on its way from another site) is answered by silence: the
router asks again. Others may ask whether we live; they are strangers and share the strangers' budget.
"""

from msgspec.structs import replace

from ha import cookie, forwarding
from ha.customer_table import Customer
from ha.effects import Effect, Note, SendToRouter
from ha.events import HeartbeatReceived
from ha.limits import Cost
from ha.prefix import is_global_unicast
from ha.record import Record
from ha.state import State
from mip6 import auth, care_of_proof, ntp
from mip6.auth import SecurityAssociation
from mip6.messages import Heartbeat
from mip6.numbers import AuthenticationSubtype
from mip6.options import Authentication, MessageIdentification, Option, RestartCounter


def received(state: State, event: HeartbeatReceived, now: float) -> list[Effect]:
    """A Heartbeat came in."""
    if event.message.response:
        state.counters.add("heartbeats_discarded", "response_unasked")
        return []
    home = care_of_proof.home_address(event.message)
    if home is None or event.message.first(Authentication) is None:
        return _from_stranger(state, event, now)
    customer = state.table.customers.get(home)
    association = _association(event.message, customer, state.unix(now))
    fault = _fault(state, event, home, customer, association, now)
    if fault:
        state.counters.add("heartbeats_discarded", fault)
        return []
    record = state.cache.records[home]
    bids = [bid for bid, cell in record.live(now).items() if cell.care_of == event.source]
    unverified = [bid for bid in bids if not record.cells[bid].verified]
    echoed = care_of_proof.cookie(event.message)
    state.counters.add("heartbeats_answered")
    options: list[Option] = [RestartCounter(state.restarts)]
    effects: list[Effect] = []
    if unverified:
        where = (state.policy.cookie_key, event.source, home, state.unix(now))
        if echoed is not None and cookie.is_good(echoed, *where):
            effects = _verify(state, record, unverified, now)
        else:
            options.append(care_of_proof.cookie_option(cookie.make(*where)))
    identification = event.message.first(MessageIdentification)
    assert identification is not None  # without one there was a fault
    options.append(identification)
    answer = Heartbeat(event.message.sequence, response=True, options=tuple(options))
    return [*effects, SendToRouter(answer, event.source, home, association, routed=False)]


def _from_stranger(state: State, event: HeartbeatReceived, now: float) -> list[Effect]:
    """RFC 5847 3.1: every node answers; ours to strangers is within their budget."""
    if not is_global_unicast(event.source):
        state.counters.add("heartbeats_discarded", "source_not_unicast")
        return []
    if not state.strangers.within_budget(now, state.undo):
        return []
    state.counters.add("heartbeats_answered")
    answer = Heartbeat(event.message.sequence, response=True, options=(RestartCounter(state.restarts),))
    return [SendToRouter(answer, event.source, event.source, None, routed=False)]


def _association(message: Heartbeat, customer: Customer | None, unix_s: float) -> SecurityAssociation | None:
    for option in message.all(Authentication):
        if option.subtype == AuthenticationSubtype.MN_HA and customer:
            return customer.association(option.spi, unix_s)
    return None


def _fault(
    state: State,
    event: HeartbeatReceived,
    home: bytes,
    customer: Customer | None,
    association: SecurityAssociation | None,
    now: float,
) -> str | None:
    """Why this Heartbeat is worth nothing, or None. Of its Mesg-ID the window counts, not the order."""
    if customer is None or not customer.active:
        return "home_address_unknown"
    if association is None:
        return "spi_unknown"
    if not auth.verify(event.octets, association, event.source, home):
        return "authentication_failed"
    identification = event.message.first(MessageIdentification)
    if identification is None:
        return "message_id_missing"
    off_s = ntp.to_unix(identification.timestamp) - ntp.to_unix(state.clock(now))
    if abs(off_s) > state.policy.replay_window_s:
        return "message_id_outside_window"
    record = state.cache.records.get(home)
    if record is None or not any(cell.care_of == event.source for cell in record.live(now).values()):
        return "care_of_unknown"
    if not state.limits.spend(Cost.HEARTBEAT, home, now, state.undo):
        return "too_many"
    return None


def _verify(state: State, record: Record, bids: list[int], now: float) -> list[Effect]:
    """These bindings may carry traffic: here, and when the peers have merged it, there."""
    state.counters.add("care_of_addresses_verified", amount=len(bids))
    proved = {bid: record.cells[bid].version for bid in bids}

    def verified(one: Record) -> Record:
        cells = {
            bid: replace(cell, verified=cell.verified or proved.get(bid) == cell.version)
            for bid, cell in one.cells.items()
        }
        return replace(one, cells=cells)

    effects = state.amend(record.home_address, verified, now)
    fields = forwarding.describe(record.home_address, state.cache.wants(record.home_address))
    return [*effects, Note("info", "care-of address verified", fields)]
