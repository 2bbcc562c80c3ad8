"""Taking bindings away on this side's own account (RFC 5846): by an operator's word, or when a customer is suspended.

Theory of operation. Unlike the RFC, we do not wait for the mobile router's consent: the record changes at once, with
a version above everything in it, so that it wins at every site, and forwarding follows. The Binding Revocation
Indication tells the router, at each of its care-of addresses in turn; its acknowledgement only ends the telling.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ha.customer_table import Customer, CustomerTable
from ha.effects import Effect, Note, SendToRouter
from ha.events import RevocationReceived, RevokeAsked
from ha.prefix import address_text
from ha.record import Binding, Record, Version
from ha.revocation import FIRST_WAIT_S, Revocation
from ha.state import State
from mip6 import auth
from mip6.auth import SecurityAssociation
from mip6.messages import BindingRevocation
from mip6.numbers import BindingRevocationType, RevocationTrigger
from mip6.options import Authentication, BindingIdentifier, MessageIdentification, Option


def asked(state: State, event: RevokeAsked, now: float) -> list[Effect]:
    """An operator takes bindings away."""
    customer = state.table.customers.get(event.home_address)
    return revoke(state, event.home_address, event.bids, customer, RevocationTrigger.ADMINISTRATIVE, now)


def suspended(state: State, before: CustomerTable, changed: Iterable[bytes], now: float) -> list[Effect]:
    """A new table is in force: take away the bindings of those who were active in the one `before` and are no more."""
    effects: list[Effect] = []
    for home_address in changed:
        was, is_now = before.customers.get(home_address), state.table.customers.get(home_address)
        if home_address in state.cache.records and was and was.active and (is_now is None or not is_now.active):
            effects += revoke(state, home_address, (), was, RevocationTrigger.ADMINISTRATIVE, now)
    return effects


def revoke(
    state: State, home_address: bytes, bids: Iterable[int], customer: Customer | None, trigger: int, now: float
) -> list[Effect]:
    """Remove the bindings with these BIDs, or all, from the record, forwarding and the other sites; tell the router."""
    record = state.cache.records.get(home_address)
    live = record.live(now) if record else {}
    chosen = tuple(bid for bid in bids if bid in live)
    if record is None or not live or (bids and not chosen):
        state.counters.add("revocations_refused", "no_such_binding")
        return [Note("warning", "nothing to revoke", {"home_address": address_text(home_address)})]
    version = Version(max(record.newest().time, record.message_id, state.clock(now)) + 1, state.policy.site)
    kept_until = now + state.longest_s()
    effects = state.amend(home_address, lambda one: _without(one, chosen, version, kept_until), now)
    state.counters.add("revocations")
    told = Revocation(
        home_address=home_address,
        sequence=(version.time >> 20) & 0xFFFF,
        trigger=trigger,
        care_ofs=tuple(cell.care_of for bid, cell in live.items() if cell.care_of and (not chosen or bid in chosen)),
        bids=chosen,
        message_id=state.clock(now),
        repeat_at=now + FIRST_WAIT_S,
    )
    state.undo.put(state.revocations, home_address, told)
    fields = {"home_address": address_text(home_address), "bids": " ".join(map(str, chosen)) or "all"}
    return [
        *effects,
        _indication(told, _association(customer, state.unix(now))),
        Note("warning", "bindings revoked", fields),
    ]


def _without(record: Record, bids: tuple[int, ...], version: Version, kept_until: float) -> Record:
    if not bids:
        return replace(record, cells={}, floor=version, kept_until=kept_until)
    tombstones = {bid: Binding(version, None, kept_until) for bid in bids}
    return replace(record, cells={**record.cells, **tombstones}, kept_until=kept_until)


def received(state: State, event: RevocationReceived, now: float) -> list[Effect]:
    """RFC 5846 7.3: an acknowledgement counts if it answers what was asked, and is authentic."""
    home = event.home_address if event.home_address is not None else event.source
    waiting = state.revocations.get(home)
    customer = state.table.customers.get(home)
    if event.message.revocation_type != BindingRevocationType.ACKNOWLEDGEMENT:
        fault = "indication"
    elif waiting is None or waiting.sequence != event.message.sequence:
        fault = "sequence_unknown"
    elif _association(customer, state.unix(now)) and not _authentic(event, customer, state.unix(now)):
        fault = "authentication_failed"
    else:
        state.undo.drop(state.revocations, home)
        state.counters.add("revocations_acknowledged")
        fields = {"home_address": address_text(home), "status": event.message.code}
        return [Note("info", "revocation acknowledged", fields)]
    state.counters.add("revocation_messages_discarded", fault)
    return []


def time_reached(state: State, now: float) -> list[Effect]:
    """RFC 5846 7.3: tell it again, then give up; the bindings are gone anyway."""
    effects: list[Effect] = []
    for home_address, waiting in list(state.revocations.items()):
        if waiting.repeat_at > now:
            continue
        again = waiting.repeated(now)
        if again is None:
            state.undo.drop(state.revocations, home_address)
            state.counters.add("revocations_unanswered")
            fields = {"home_address": address_text(home_address)}
            effects.append(Note("warning", "revocation not acknowledged", fields))
        else:
            state.undo.put(state.revocations, home_address, again)
            effects.append(_indication(again, _association(state.table.customers.get(home_address), state.unix(now))))
    return effects


def _indication(revocation: Revocation, association: SecurityAssociation | None) -> Effect:
    options: list[Option] = [BindingIdentifier(bid) for bid in revocation.bids]
    options.append(MessageIdentification(revocation.message_id))
    message = BindingRevocation(
        BindingRevocationType.INDICATION, revocation.trigger, revocation.sequence, options=tuple(options)
    )
    return SendToRouter(message, revocation.care_ofs[0], revocation.home_address, association, routed=True)


def _association(customer: Customer | None, unix_s: float) -> SecurityAssociation | None:
    """The first key that is good now: the one about to be replaced, which the router surely has; None without any."""
    if customer is None:
        return None
    good = (customer.association(spi, unix_s) for spi in customer.associations)
    return next((association for association in good if association), None)


def _authentic(event: RevocationReceived, customer: Customer | None, unix_s: float) -> bool:
    home = event.home_address if event.home_address is not None else event.source
    for option in event.message.all(Authentication):
        association = customer.association(option.spi, unix_s) if customer else None
        if association and auth.verify(event.octets, association, event.source, home):
            return True
    return False
