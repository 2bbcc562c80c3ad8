"""A router of another make: no clock, no signature (RFC 4285 is optional), so its customer's table must do without.

Stands between our `MobileRouter`, which always signs, and the wire. It sends nothing but bare Binding Updates: such a
router knows no test of its addresses, and needs none. An acknowledgement is given what the core wants to see.
"""

from dataclasses import replace

from mip6 import header
from mip6.auth import SecurityAssociation, encode_signed
from mip6.messages import BindingAck, BindingUpdate
from mip6.numbers import Status
from mip6.options import MessageIdentification
from mip6.packet import update_packet
from mr.events import SendBindingUpdate
from mr.settings import Settings

REMEMBERED = 16


class Foreign:
    """Takes the Mesg-ID from updates, remembers it by sequence number, and puts it back into their answers."""

    def __init__(self, settings: Settings, key: SecurityAssociation) -> None:
        self._settings, self._key = settings, key
        self._sent: list[tuple[int, MessageIdentification, bytes]] = []

    def bare(self, update: SendBindingUpdate) -> BindingUpdate:
        """The message without Mesg-ID."""
        message = update.message
        identification = message.first(MessageIdentification)
        assert identification is not None  # our core's have one
        self._sent = [*self._sent, (message.sequence, identification, update.care_of)][-REMEMBERED:]
        options = tuple(option for option in message.options if option is not identification)
        return replace(message, options=options)

    def packet(self, update: SendBindingUpdate, message: BindingUpdate) -> bytes:
        """The whole packet, unsigned."""
        octets = header.encode(message, update.home_address, update.home_agent)
        return update_packet(update.care_of, update.home_agent, update.home_address, octets)

    def vouched(self, ack: BindingAck, source: bytes, destination: bytes) -> tuple[BindingAck, bytes]:
        """An acknowledgement as the core believes it. Status 135 names another number than that of the update."""
        by_number = ack.status != Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
        for sequence, identification, care_of in reversed(self._sent):
            if care_of == destination and (sequence == ack.sequence or not by_number):
                ack = replace(ack, options=(*ack.options, identification))
                break
        home = self._settings.home_address
        return ack, encode_signed(ack, self._key, destination, home, source, home)
