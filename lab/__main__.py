"""`xsp-lab`: up, run, demo, status, shell, down.

Owns arguments, signals and exit statuses: 0 done, 1 an expectation failed, 2 usage, 3 no such lab, 4 something is
missing on this machine, 5 conflict. Every way out, also Ctrl-C and SIGTERM, takes down what this process built.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from lab import build, demo, look, prerequisites, scenario, takedown
from lab.errors import LabError
from lab.faults import Fault
from lab.lab import Lab
from lab.netns import NETNS
from lab.runfolder import choose
from lab.story import Story
from runtime import exits
from runtime.status import print_status

_DESCRIPTION = "A lab of network namespaces on one machine: FRR as the Internet, and the real programs."


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        status: int = options.work(options)
    except LabError as error:
        exits.fail(_sentence(error.what), _sentence(error.remedy), error.code)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return int(status)


def _sentence(text: str) -> str:
    """A capital letter in front, unless a program or a path stands there."""
    return text if text.startswith(("xsp", "/")) else text[:1].upper() + text[1:]


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xsp-lab", description=_DESCRIPTION)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="up|run|demo|status|shell|down")

    up = verbs.add_parser("up", help="build the whole lab and leave it running")
    up.set_defaults(work=_up)

    run = verbs.add_parser("run", help="run a scenario on a lab of its own")
    run.add_argument("scenario", help="a TOML file, or the name of one that comes with the lab")
    run.add_argument(
        "--output", type=Path, metavar="DIR", help=f"default: a folder of its name in {demo.DEFAULT_OUTPUT}"
    )
    run.set_defaults(work=_run)

    story = verbs.add_parser("demo", help="tell the story of the product, measured")
    story.add_argument("--output", type=Path, default=demo.DEFAULT_OUTPUT, metavar="DIR", help="default: %(default)s")
    for verb in (run, story):
        verb.add_argument(
            "--fault",
            type=Fault,
            choices=list(Fault),
            default=Fault.NONE,
            help="sabotage the lab to see it fail: an impostor holds the lease, or the ISP hears no withdraw",
        )
    story.set_defaults(work=_demo)

    status = verbs.add_parser("status", help="what runs, and which site each ISP chose")
    status.add_argument("--json", action="store_true", help="the whole document")
    status.set_defaults(work=_status)

    shell = verbs.add_parser("shell", help="a shell, or one command, in a node")
    shell.add_argument("node", help="such as mr, site1, isp1, cn1, lan1")
    shell.add_argument("command", nargs=argparse.REMAINDER, help="default: $SHELL")
    shell.set_defaults(work=_shell)

    down = verbs.add_parser("down", help="remove a lab, or all whose owner was killed")
    down.add_argument("--stale", action="store_true", help="every lab whose owner died without removing it")
    down.add_argument("--force", action="store_true", help="also one that a living process uses")
    down.set_defaults(work=_down)

    for verb in (status, shell, down):
        verb.add_argument("--lab", metavar="ID", help="which lab, if several are up")
    return parser


def _up(options: argparse.Namespace) -> int:
    prerequisites.check()
    with Lab() as lab:
        build.raise_up(lab, _say, lambda text: _say(f"  $ {text}"))
        lab.keep()
        _say(f"lab {lab.folder.id} is up in {lab.folder.path}; end it with: xsp-lab down --lab {lab.folder.id}")
    return exits.DONE


def _run(options: argparse.Namespace) -> int:
    chosen = scenario.load(scenario.find(options.scenario))
    prerequisites.check()
    output = options.output or demo.DEFAULT_OUTPUT / chosen.name
    return Story(Console(emoji=False), chosen, output, options.fault).tell()


def _demo(options: argparse.Namespace) -> int:
    prerequisites.check()
    return demo.tell(Console(emoji=False), options.output, options.fault)


def _status(options: argparse.Namespace) -> int:
    return int(print_status(look.document(choose(options.lab)), as_json=options.json))


def _shell(options: argparse.Namespace) -> NoReturn:
    folder = choose(options.lab)
    nodes = folder.read("nodes", [])
    if options.node not in nodes:
        raise LabError(f"lab {folder.id} has no node {options.node}", f"name one of {', '.join(nodes)}", exits.USAGE)
    words = options.command or [os.environ.get("SHELL", "/bin/sh")]
    os.execvp("nsenter", ["nsenter", f"--net={NETNS / f'x{folder.id}-{options.node}'}", "--", *words])


def _down(options: argparse.Namespace) -> int:
    if options.stale:
        gone = takedown.take_down_stale()
    else:
        folder = choose(options.lab)
        takedown.refuse_foreign_owner(folder, options.force)
        gone = [takedown.take_down(folder)]
    for one in gone:
        _say(f"lab {one.lab_id} is gone")
    if not gone:
        _say("no lab was stale")
    return exits.DONE


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
