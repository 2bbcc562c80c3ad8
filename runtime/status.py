"""The status document every program answers with, and how it is printed.

Owns the common keys (`v`, `program`, `instance`, `version`, `state`, `since_s`, `reasons`, `counters`); the sections
are the program's own. Healthy or not is decided by the program and carried as `healthy`, so that the exit status
needs no guess.
"""

import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from runtime import exits

DISTRIBUTION = "anycast-xsp"


def version() -> str:
    """The installed version, or `unknown` when run from a checkout that was never installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def document(
    *,
    program: str,
    instance: str,
    state: str,
    since_s: float,
    reasons: list[str],
    counters: Mapping[str, int],
    healthy: bool,
    sections: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the status document; `since_s` is how long `state` has lasted."""
    common = {
        "v": 1,
        "program": program,
        "instance": instance,
        "version": version(),
        "state": state,
        "since_s": round(since_s, 3),
        "healthy": healthy,
        "reasons": reasons,
        "counters": dict(counters),
    }
    return {**sections, **common}


def print_status(status: Mapping[str, Any], *, as_json: bool) -> exits.Exit:
    """Print a status document for a machine or a person; the exit status says healthy or not."""
    if as_json:
        print(json.dumps(status, indent=2, sort_keys=False))
    else:
        reasons = "; ".join(status["reasons"]) or "no complaint"
        print(f"{status['program']} {status['instance']}: {status['state']} for {status['since_s']:.0f} s ({reasons})")
        for key, value in status.items():
            if key in ("v", "program", "instance", "version", "state", "since_s", "healthy", "reasons"):
                continue
            _print_section(key, value)
    return exits.DONE if status["healthy"] else exits.REFUSED


def _print_section(name: str, value: Any) -> None:
    if isinstance(value, list):
        print(f"  {name}:")
        for row in value:
            print("    " + (_columns(row) if isinstance(row, dict) else str(row)))
    elif isinstance(value, dict):
        print(f"  {name}:")
        for key, item in value.items():
            print(f"    {key}: {_columns(item) if isinstance(item, dict) else item}")
    else:
        print(f"  {name}: {value}")


def _columns(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={value}" for key, value in row.items())
