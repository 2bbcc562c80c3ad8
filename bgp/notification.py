"""Why a session ended, in the words of the RFCs: the codes that ExaBGP tells, and what an operator can do. Pure.

RFC 4271 4.5 (codes), RFC 4486 and RFC 8538 (Cease), RFC 5492 (capabilities), RFC 9384 (BFD).
"""

import re

_CODE = re.compile(r"notification (sent|received) \((\d{1,3}),(\d{1,3})\)")

_CODES = {
    1: "Message Header Error",
    2: "OPEN Message Error",
    3: "UPDATE Message Error",
    4: "Hold Timer Expired",
    5: "Finite State Machine Error",
    6: "Cease",
}
_SUBCODES = {
    (2, 1): "Unsupported Version Number",
    (2, 2): "Bad Peer AS",
    (2, 3): "Bad BGP Identifier",
    (2, 4): "Unsupported Optional Parameter",
    (2, 6): "Unacceptable Hold Time",
    (2, 7): "Unsupported Capability",
    (6, 1): "Maximum Number of Prefixes Reached",
    (6, 2): "Administrative Shutdown",
    (6, 3): "Peer De-configured",
    (6, 4): "Administrative Reset",
    (6, 5): "Connection Rejected",
    (6, 6): "Other Configuration Change",
    (6, 7): "Connection Collision Resolution",
    (6, 8): "Out of Resources",
    (6, 9): "Hard Reset",
    (6, 10): "BFD Down",
}
_REMEDIES = {
    "Bad Peer AS": "compare the AS numbers at both ends",
    "Bad BGP Identifier": "two routers have the same BGP identifier",
    "Maximum Number of Prefixes Reached": "its maximum-prefix is below what we announce",
    "Administrative Shutdown": "its operator has shut the session down",
    "Peer De-configured": "its operator has removed us",
}


def words(reason: str) -> str:
    """ExaBGP's reason for the end of a session, with the names of its codes; as it is if it has none."""
    found = _CODE.search(reason)
    if found is None:
        return reason
    code, subcode = int(found[2]), int(found[3])
    name = _SUBCODES.get((code, subcode)) or _CODES.get(code, "an unknown error")
    who = "ended from here" if found[1] == "sent" else "ended by the neighbour"
    return f"{who}: {name} (NOTIFICATION {code}/{subcode})"


def remedy(reason: str) -> str:
    """What to look at after an end that `words` has named; empty if the name says it all."""
    return next((what for name, what in _REMEDIES.items() if f": {name} (" in reason), "")
