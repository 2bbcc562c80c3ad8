"""IANA numbers of Mobile IPv6 and its extensions; each line with the RFC that assigns it. Values only.

A number that is not here is no error: messages and options carry plain integers, and these names are for comparing.
"""

from enum import IntEnum, IntFlag

MOBILITY_HEADER = 135  # IPv6 next header, RFC 6275 6.1
NO_NEXT_HEADER = 59  # the only Payload Proto, RFC 6275 6.1.1
DESTINATION_OPTIONS = 60  # RFC 8200 4.6
ROUTING_HEADER = 43  # RFC 8200 4.4
ICMPV6 = 58  # RFC 4443
HOME_ADDRESS_OPTION = 0xC9  # destination option, RFC 6275 6.3
TYPE_2_ROUTING = 2  # routing type, RFC 6275 6.4
NAI = 1  # RFC 4283 3.1: subtype of the Mobile Node Identifier option


class MessageType(IntEnum):
    """Mobility header types."""

    BINDING_REFRESH_REQUEST = 0  # RFC 6275 6.1.2
    HOME_TEST_INIT = 1  # RFC 6275 6.1.3
    CARE_OF_TEST_INIT = 2  # RFC 6275 6.1.4
    HOME_TEST = 3  # RFC 6275 6.1.5
    CARE_OF_TEST = 4  # RFC 6275 6.1.6
    BINDING_UPDATE = 5  # RFC 6275 6.1.7
    BINDING_ACK = 6  # RFC 6275 6.1.8
    BINDING_ERROR = 7  # RFC 6275 6.1.9
    HOME_AGENT_SWITCH = 12  # RFC 5142 4
    HEARTBEAT = 13  # RFC 5847 3.3
    BINDING_REVOCATION = 16  # RFC 5846 6


class OptionType(IntEnum):
    """Mobility option types."""

    PAD1 = 0  # RFC 6275 6.2.2
    PADN = 1  # RFC 6275 6.2.3
    BINDING_REFRESH_ADVICE = 2  # RFC 6275 6.2.4
    ALTERNATE_CARE_OF = 3  # RFC 6275 6.2.5
    NONCE_INDICES = 4  # RFC 6275 6.2.6
    BINDING_AUTHORIZATION_DATA = 5  # RFC 6275 6.2.7
    MOBILE_NETWORK_PREFIX = 6  # RFC 3963 4.3
    LINK_LAYER_ADDRESS = 7  # RFC 5568 6.4.4
    MOBILE_NODE_IDENTIFIER = 8  # RFC 4283 3
    AUTHENTICATION = 9  # RFC 4285 5
    MESSAGE_IDENTIFICATION = 10  # RFC 4285 6
    DNS_UPDATE = 17  # RFC 5026 8.1
    EXPERIMENTAL = 18  # RFC 5096 4
    VENDOR_SPECIFIC = 19  # RFC 5094 3
    SERVICE_SELECTION = 20  # RFC 5149 3
    RESTART_COUNTER = 28  # RFC 5847 3.4
    IPV4_HOME_ADDRESS = 29  # RFC 5555 3.1.1
    IPV4_ADDRESS_ACK = 30  # RFC 5555 3.2.1
    NAT_DETECTION = 31  # RFC 5555 3.2.2
    IPV4_CARE_OF = 32  # RFC 5555 3.1.2
    IPV6_ADDRESS_PREFIX = 34  # RFC 5568 6.4.2
    BINDING_IDENTIFIER = 35  # RFC 5648 4.3
    FLOW_SUMMARY = 44  # RFC 6089 4.4
    FLOW_IDENTIFICATION = 45  # RFC 6089 4.2


class AuthenticationSubtype(IntEnum):
    """Who shares the key of an authentication option (RFC 4285 5)."""

    MN_HA = 1
    MN_AAA = 2


class BindingErrorStatus(IntEnum):
    """Status of a Binding Error (RFC 6275 6.1.9)."""

    UNKNOWN_BINDING = 1
    UNRECOGNIZED_TYPE = 2


class BindingUpdateFlag(IntFlag):
    """Flags of the Binding Update, as they stand in its 16 bits. 0x0040 is read as O; with P set it is RFC 6602's B."""

    ACKNOWLEDGE = 0x8000  # A, RFC 6275 6.1.7
    HOME_REGISTRATION = 0x4000  # H, RFC 6275 6.1.7
    LINK_LOCAL = 0x2000  # L, RFC 6275 6.1.7
    KEY_MANAGEMENT = 0x1000  # K, RFC 6275 6.1.7
    MAP_REGISTRATION = 0x0800  # M, RFC 5380
    MOBILE_ROUTER = 0x0400  # R, RFC 3963 4.1
    PROXY_REGISTRATION = 0x0200  # P, RFC 5213
    FORCE_UDP = 0x0100  # F, RFC 5555
    TLV_HEADER = 0x0080  # T, RFC 5845
    OVERWRITE = 0x0040  # O, RFC 5648 4.2


class BindingAckFlag(IntFlag):
    """Flags of the Binding Acknowledgement, as they stand in its 8 bits."""

    KEY_MANAGEMENT = 0x80  # K, RFC 6275 6.1.8
    MOBILE_ROUTER = 0x40  # R, RFC 3963 4.2
    PROXY_REGISTRATION = 0x20  # P, RFC 5213
    TLV_HEADER = 0x10  # T, RFC 5845
    BULK = 0x08  # B, RFC 6602


class BindingRevocationType(IntEnum):
    """B.R. Type of a Binding Revocation message (RFC 5846 6)."""

    INDICATION = 1
    ACKNOWLEDGEMENT = 2


class BindingRevocationFlag(IntFlag):
    """Flags of both Binding Revocation messages (RFC 5846 6)."""

    PROXY_BINDING = 0x8000  # P
    IPV4_HOME_ADDRESS_ONLY = 0x4000  # V
    GLOBAL = 0x2000  # G


class RevocationTrigger(IntEnum):
    """Why bindings are revoked (RFC 5846 11)."""

    UNSPECIFIED = 0
    ADMINISTRATIVE = 1
    INTER_MAG_HANDOVER_SAME_ACCESS_TYPE = 2
    INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE = 3
    INTER_MAG_HANDOVER_UNKNOWN = 4
    USER_INITIATED = 5
    ACCESS_NETWORK_SESSION_TERMINATION = 6
    POSSIBLY_OUT_OF_SYNC = 7
    PER_PEER_POLICY = 128  # with the G flag
    REVOKING_NODE_LOCAL_POLICY = 129  # with the G flag


class RevocationStatus(IntEnum):
    """Status of a Binding Revocation Acknowledgement (RFC 5846 11)."""

    SUCCESS = 0
    PARTIAL_SUCCESS = 1
    BINDING_DOES_NOT_EXIST = 128
    IPV4_HOME_ADDRESS_OPTION_REQUIRED = 129
    GLOBAL_REVOCATION_NOT_AUTHORIZED = 130
    REVOKED_MOBILE_NODES_IDENTITY_REQUIRED = 131
    MOBILE_NODE_ATTACHED = 132
    TRIGGER_NOT_SUPPORTED = 133
    FUNCTION_NOT_SUPPORTED = 134
    PROXY_REVOCATION_NOT_SUPPORTED = 135


class FlowStatus(IntEnum):
    """Status of a Flow Identification option in an acknowledgement (RFC 6089 4.2)."""

    ACCEPTED = 0
    ADMINISTRATIVELY_PROHIBITED = 128
    REJECTED = 129
    MALFORMED = 130
    BID_NOT_FOUND = 131
    FID_NOT_FOUND = 132
    TRAFFIC_SELECTOR_NOT_SUPPORTED = 133


class FlowSubOption(IntEnum):
    """Sub-options of a Flow Identification option (RFC 6089 4.2.1)."""

    PAD1 = 0
    PADN = 1
    BINDING_REFERENCE = 2
    TRAFFIC_SELECTOR = 3


class IPv4AddressAckStatus(IntEnum):
    """Status of an IPv4 Address Acknowledgement option (RFC 5555 3.2.1)."""

    SUCCESS = 0
    REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INCORRECT_HOME_ADDRESS = 130
    INVALID_ADDRESS = 131
    NO_DYNAMIC_ALLOCATION = 132
    PREFIX_NOT_AUTHORIZED = 133


class Status(IntEnum):
    """Status of a Binding Acknowledgement, RFC 6275 6.1.8 where no RFC is named; below 128 accepted, else rejected."""

    ACCEPTED = 0
    PREFIX_DISCOVERY_NECESSARY = 1
    MCOA_NOTCOMPLETE = 4  # RFC 5648 4.4
    MCOA_RETURNHOME_WO_NDP = 5  # RFC 5648 4.4
    REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    HOME_REGISTRATION_NOT_SUPPORTED = 131
    NOT_HOME_SUBNET = 132
    NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE = 133
    DUPLICATE_ADDRESS_DETECTION_FAILED = 134
    SEQUENCE_NUMBER_OUT_OF_WINDOW = 135
    EXPIRED_HOME_NONCE_INDEX = 136
    EXPIRED_CARE_OF_NONCE_INDEX = 137
    EXPIRED_NONCES = 138
    REGISTRATION_TYPE_CHANGE_DISALLOWED = 139
    MOBILE_ROUTER_OPERATION_NOT_PERMITTED = 140  # RFC 3963 4.2
    INVALID_PREFIX = 141  # RFC 3963 4.2
    NOT_AUTHORIZED_FOR_PREFIX = 142  # RFC 3963 4.2
    FORWARDING_SETUP_FAILED = 143  # RFC 3963 4.2
    ID_MISMATCH = 144  # RFC 4285 6, MIPV6-ID-MISMATCH
    MESSAGE_ID_REQUIRED = 145  # RFC 4285 6, MIPV6-MESG-ID-REQD
    AUTHENTICATION_FAILED = 146  # RFC 4285 5.3, MIPV6-AUTH-FAIL
    SERVICE_AUTHORIZATION_FAILED = 151  # RFC 5149
    PROXY_REGISTRATION_NOT_ENABLED = 152  # RFC 5213
    MCOA_MALFORMED = 164  # RFC 5648 4.4
    MCOA_NON_MCOA_BINDING_EXISTS = 165  # RFC 5648 4.4
    MCOA_PROHIBITED = 166  # RFC 5648 4.4
    MCOA_UNKNOWN_COA = 167  # RFC 5648 4.4
    MCOA_BULK_REGISTRATION_PROHIBITED = 168  # RFC 5648 4.4
    MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED = 169  # RFC 5648 4.4
    INVALID_CARE_OF_ADDRESS = 174
