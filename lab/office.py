"""The office's part of a lab: the operator's CLI in subprocesses, exactly as an operator would type it.

Owns the list of commands that register sites and a customer, render their files and publish the customer table. Refuses to
write any of these files itself.
"""

import subprocess
from collections.abc import Callable, Iterable

from lab.errors import LabError
from lab.layout import Layout
from lab.programs import Programs

COMMAND_S = 60.0


class Office:
    """One registry, in the lab's run folder."""

    def __init__(self, layout: Layout, programs: Programs, on_command: Callable[[str], None] = lambda _: None) -> None:
        self._layout = layout
        self._programs = programs
        self._on_command = on_command

    def publish(self, sites: Iterable[str]) -> None:
        """Hand the signed customer table to these sites."""
        words = [word for site in sites for word in ("--output", str(self._layout.customer_table(site)))]
        self.xsp("table", "publish", *words)

    def xsp(self, *words: str) -> str:
        """One command of the operator; what it printed. Raises: LabError with what it said."""
        self._on_command("xsp " + " ".join(words))
        command = [self._programs.path("xsp"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise LabError(f"xsp {' '.join(words)} failed with status {done.returncode}: {said[-400:]}", "correct that first")
        return done.stdout
