"""The operator's wish on disk, so that it outlives this process: an upgrade is drain, restart, look, undrain.

Owns one small JSON file in the state directory; none there means: serve. Refuses to guess: what cannot be read was
somebody's wish, and the safe one is to drain.
"""

import json
from pathlib import Path

from ha.events import OperatorAsked
from ha.readiness import Mode
from runtime import durable, log

NAME = "operator.json"
MAX_TEXT = 80  # of a name or a reason: it travels in every lease renewal


def load(directory: Path) -> OperatorAsked | None:
    """What was asked before this start."""
    try:
        document = json.loads((directory / NAME).read_text(encoding="utf-8"))
        return OperatorAsked(Mode(document["mode"]), str(document["by"]), str(document["why"]), restored=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.get().error("the operator's wish cannot be read, drained until 'xsp-ha undrain'", reason=str(error))
        return OperatorAsked(Mode.DRAIN, "", f"{NAME} cannot be read", restored=True)


def save(directory: Path, asked: OperatorAsked) -> None:
    """Remember it, power cut or not. Raises: OSError; the former wish stands, or may again after a power cut."""
    place = directory / NAME
    if asked.mode is Mode.SERVE:
        durable.remove(place)
    else:
        durable.replace(place, (json.dumps({"mode": asked.mode, "by": asked.by, "why": asked.why}).encode(),))
