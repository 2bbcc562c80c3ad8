"""Finds what an FRR configuration refers to and nobody defines, and sessions without a filter. Pure.

`vtysh -C` accepts such a text, and FRR then takes a missing route-map for one that denies everything, a missing
prefix-list in one for a match of everything, and on a session of IBGP no route-map at all for one that permits
everything (RFC 8212 speaks of EBGP alone).
"""

import re
from collections.abc import Mapping

_WAYS = ("in", "out")
# Kind -> how it is defined, and how it is referred to; the name is the last group.
_PATTERNS: Mapping[str, tuple[str, str]] = {
    "route-map": (r"^route-map (\S+) (?:permit|deny)", r"^ +neighbor \S+ route-map (\S+) (?:in|out)"),
    # A list of one family is none of the other, whatever it is called.
    "ip prefix-list": (r"^ip prefix-list (\S+) ", r"^ +match ip address prefix-list (\S+)"),
    "ipv6 prefix-list": (r"^ipv6 prefix-list (\S+) ", r"^ +match ipv6 address prefix-list (\S+)"),
    "prefix-list": (r"^ip(?:v6)? prefix-list (\S+) ", r"^ +neighbor \S+ prefix-list (\S+)"),
    "community-list": (r"^bgp community-list (?:standard |expanded )?(\S+) ", r"^ +match community (\S+)"),
    "BFD profile": (r"^ profile (\S+)", r"^ +neighbor \S+ bfd profile (\S+)"),
}
_FAMILY = re.compile(r"^ +address-family (.+)\n((?:(?! +exit-address-family).*\n)*)", re.MULTILINE)


def undefined(text: str) -> list[str]:
    """Each missing one as `route-map NAME`, in order of the text."""
    found = []
    for kind, (definition, reference) in _PATTERNS.items():
        defined = set(re.findall(definition, text, re.MULTILINE))
        for match in re.finditer(reference, text, re.MULTILINE):
            if match[1] not in defined:
                found.append((match.start(), f"{kind} {match[1]}"))
    return list(dict.fromkeys(name for _, name in sorted(found)))


def unfiltered(text: str) -> list[str]:
    """Each way of a session without a route-map, as `in from NEIGHBOUR, FAMILY`, in order of the text."""
    found = []
    for family, body in _FAMILY.findall(text):
        filtered = set(re.findall(r"^ +neighbor (\S+) route-map \S+ (in|out)$", body, re.MULTILINE))
        for neighbour in re.findall(r"^ +neighbor (\S+) activate$", body, re.MULTILINE):
            missing = [way for way in _WAYS if (neighbour, way) not in filtered]
            found += [f"{way} {'from' if way == 'in' else 'to'} {neighbour}, {family}" for way in missing]
    return found
