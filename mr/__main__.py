"""`xsp-mr`: the command line of the mobile router.

Owns arguments and exit statuses: 0 done or healthy, 1 refused or not healthy, 2 usage, 3 daemon not reachable, 4
something is missing (root, a file, a kernel feature), 5 another one already runs. Errors are two sentences on stderr:
what, and what to do.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from mr.config import Configuration, ConfigurationError, parse, show
from runtime import control, exits, log, status


def main() -> None:
    """Entry point of the console script."""
    arguments = _arguments(sys.argv[1:])
    configuration = _configuration(arguments.config)
    if arguments.check:
        _check(configuration, arguments)
    elif arguments.verb == "status":
        _status(configuration, arguments)
    elif arguments.verb == "metrics":
        from mr import metrics
        from runtime.metrics import export

        export("xsp-mr", configuration.control_socket, metrics.gauges, arguments.listen)
    else:
        _run(configuration, arguments)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="xsp-mr", description="Mobile router: registers each ISP line with the home agent."
    )
    parser.add_argument(
        "verb",
        nargs="?",
        choices=("run", "status", "metrics"),
        default="run",
        help="default: run; metrics: for Prometheus",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="mr.toml")
    parser.add_argument("-n", dest="check", action="store_true", help="check the configuration and exit")
    parser.add_argument(
        "-v", dest="verbose", action="store_true", help="with -n: print it in canonical form; else: log more"
    )
    parser.add_argument("--json", action="store_true", help="status: as one JSON object")
    where = "metrics: serve them there, such as [::1]:9629; without it, print them once"
    parser.add_argument("--listen", metavar="ADDRESS:PORT", help=where)
    return parser.parse_args(words)


def _configuration(file: Path) -> Configuration:
    try:
        return parse(file.read_text(), file)
    except OSError as error:
        exits.fail(f"{file}: {error.strerror}", "Name a readable file with --config", exits.MISSING)
    except UnicodeDecodeError:
        exits.fail(f"{file}: not UTF-8 text", "Name a TOML file with --config", exits.REFUSED)
    except ConfigurationError as error:
        exits.fail(error.what, error.remedy, exits.REFUSED)


def _check(configuration: Configuration, arguments: argparse.Namespace) -> None:
    from mr.secret import association

    try:
        association(configuration, arguments.config)
    except ConfigurationError as error:
        exits.fail(error.what, error.remedy, exits.REFUSED)
    if arguments.verbose:
        print(show(configuration), end="")


def _status(configuration: Configuration, arguments: argparse.Namespace) -> None:
    try:
        reply = control.ask(configuration.control_socket, "status")
    except control.Unreachable as error:
        exits.fail(
            f"xsp-mr {configuration.instance} does not answer on {error.path}: {error.reason}",
            "Start it, or run this as root or as its user",
            exits.UNREACHABLE,
        )
    reply.pop("ok", None)
    sys.exit(int(status.print_status(reply, as_json=arguments.json)))


def _run(configuration: Configuration, arguments: argparse.Namespace) -> None:
    # Only the daemon needs sockets and the kernel; `status` and `-n` start faster and need less without them.
    from dataplane.errors import DataPlaneError
    from dataplane.router import LinuxRouter
    from mr.daemon import Daemon
    from mr.secret import association

    if os.geteuid() != 0:
        exits.fail("xsp-mr needs root to send raw packets and to set routes", "Run it as root", exits.MISSING)
    log.configure("debug" if arguments.verbose else "info")

    async def serve() -> None:
        key = association(configuration, arguments.config)
        await Daemon(configuration, arguments.config, key, LinuxRouter(configuration.driver)).run()

    try:
        asyncio.run(serve())
    except ConfigurationError as error:
        exits.fail(error.what, error.remedy, exits.REFUSED)
    except DataPlaneError as error:
        exits.fail(str(error), "Load what the kernel lacks and start again", exits.MISSING)
    except control.Unreachable as error:
        exits.fail(str(error), "Stop the other xsp-mr of this instance first", exits.CONFLICT)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        exits.fail(f"xsp-mr cannot start: {what}", "Check rights, directories and kernel", exits.MISSING)


if __name__ == "__main__":
    main()
