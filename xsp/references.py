"""Finds what an FRR configuration refers to and nobody defines. Pure.

`vtysh -C` accepts such a text, and FRR then takes a missing route-map for one that denies everything, a missing
prefix-list in one for a match of everything.
"""

import re
from collections.abc import Mapping

# Kind -> how it is defined, and how it is referred to; the name is the last group.
_PATTERNS: Mapping[str, tuple[str, str]] = {
    "route-map": (r"^route-map (\S+) (?:permit|deny)", r"^ +neighbor \S+ route-map (\S+) (?:in|out)"),
    "prefix-list": (r"^ip(?:v6)? prefix-list (\S+) ", r"^ +(?:match ip(?:v6)? address|neighbor \S+) prefix-list (\S+)"),
    "community-list": (r"^bgp community-list (?:standard |expanded )?(\S+) ", r"^ +match community (\S+)"),
    "BFD profile": (r"^ profile (\S+)", r"^ +neighbor \S+ bfd profile (\S+)"),
}


def undefined(text: str) -> list[str]:
    """Each missing one as `route-map NAME`, in order of the text."""
    found = []
    for kind, (definition, reference) in _PATTERNS.items():
        defined = set(re.findall(definition, text, re.MULTILINE))
        for match in re.finditer(reference, text, re.MULTILINE):
            if match[1] not in defined:
                found.append((match.start(), f"{kind} {match[1]}"))
    return list(dict.fromkeys(name for _, name in sorted(found)))
