"""`xsp-lab demo`: the story of the product in about a minute, every sentence of it measured.

A customer with two ISP lines behind three home agents that share one anycast address. A line dies; the nearest home
agent is killed, frozen, drained; each time the probes say who served and what was lost. Owns nothing but the opening
words.
"""

from pathlib import Path

from rich.console import Console

from lab import scenario
from lab.faults import Fault
from lab.story import Story

SCENARIO = "story"
DEFAULT_OUTPUT = Path("demo-report")
_OPENING = """\
[bold]anycast-xsp[/bold]: one small office, two ordinary ISP lines, three home agents behind one
anycast address. Everything below runs for real: Linux namespaces, FRR as the
Internet, ExaBGP, and the programs of this project. Who served and what was lost
is read from captured packets and from the ISPs' routing tables.
"""


def tell(console: Console, output: Path, fault: Fault) -> int:
    """The exit status. Raises: LabError."""
    console.print(_OPENING, highlight=False, soft_wrap=True)
    return Story(console, scenario.load(scenario.find(SCENARIO)), output, fault).tell()
