"""Waiting for a state with a deadline. The one place of this folder that sleeps while waiting."""

import time
from collections.abc import Callable

from lab.errors import LabError

PAUSE_S = 0.05


def wait_until(missing: Callable[[], str | None], deadline_s: float, pause_s: float = PAUSE_S) -> float:
    """Poll until `missing()` is None; the seconds it took.

    Raises: LabError with what was still missing at the deadline.
    """
    began = time.monotonic()
    while (what := missing()) is not None:
        if time.monotonic() - began > deadline_s:
            raise LabError(f"{what}, even after {deadline_s:.0f} s", "read the logs, or try again on a quieter machine")
        time.sleep(pause_s)
    return time.monotonic() - began
