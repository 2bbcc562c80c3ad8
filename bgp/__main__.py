"""Command line of `xsp-bgp`: run (supervise ExaBGP), status, reload, bridge (started by ExaBGP, never by hand).

Owns argument parsing and exit statuses. Refuses to import anything beyond the standard library before it knows that the
verb is not `bridge`: a respawned bridge must be back in milliseconds, and carries no dependency into ExaBGP's pipe.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from bgp.errors import BgpError
from runtime import exits

RELOAD_S = 60.0  # ExaBGP tries the configuration, then takes it step by step


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "bridge":
            return _bridge(options)
        return _run_or_status(options)
    except BgpError as error:
        exits.fail(error.what, error.remedy, error.code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xsp-bgp",
        description="Announces this site's aggregates by ExaBGP, for as long as xsp-ha renews its lease.",
    )
    verb = (
        "run: supervise ExaBGP (default); status: ask the running one; reload: have it take over changed neighbours; "
        "metrics: for Prometheus; bridge: ExaBGP's child, started by ExaBGP"
    )
    verbs = ("run", "status", "reload", "metrics", "bridge")
    parser.add_argument("verb", nargs="?", choices=verbs, default="run", help=verb)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="bgp.toml")
    parser.add_argument("-n", "--check", action="store_true", help="check the configuration and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="with -n: print its canonical form; else log more")
    parser.add_argument("--json", action="store_true", help="status: print the whole document")
    where = "metrics: serve them there, such as [::1]:9628; without it, print them once"
    parser.add_argument("--listen", metavar="ADDRESS:PORT", help=where)
    return parser


def _bridge(options: argparse.Namespace) -> int:
    from bgp import bridge

    if options.check:
        bridge.read_settings(options.config)
        return exits.DONE
    return bridge.run(options.config)


def _run_or_status(options: argparse.Namespace) -> int:
    from bgp import config

    settings = config.load(options.config)
    if options.check:
        if options.verbose:
            sys.stdout.write(config.show(settings))
        return exits.DONE
    if options.verb == "status":
        return _status(settings.control_socket, options.json)
    if options.verb == "metrics":
        from bgp import metrics
        from runtime.metrics import export

        export("xsp-bgp", settings.control_socket, metrics.gauges, options.listen)
        return exits.DONE
    if options.verb == "reload":
        return _reload(settings.control_socket)

    import asyncio

    from bgp.supervisor import Supervisor
    from runtime import log

    async def supervise() -> int:
        return await Supervisor(options.config.absolute(), settings).run()

    log.configure("debug" if options.verbose else "info")
    return asyncio.run(supervise())


def _status(socket: Path, as_json: bool) -> int:
    from runtime import status

    reply = _ask(socket, "status", 2.0)
    reply.pop("ok")
    return status.print_status(reply, as_json=as_json)


def _reload(socket: Path) -> int:
    reply = _ask(socket, "reload", RELOAD_S)
    if not reply["ok"]:
        exits.fail(reply["error"], reply["remedy"], exits.REFUSED)
    print(reply["neighbours"])
    return exits.DONE


def _ask(socket: Path, do: str, timeout_s: float) -> dict[str, Any]:
    from runtime import control

    try:
        return control.ask(socket, do, timeout_s)
    except control.Unreachable as error:
        exits.fail(f"xsp-bgp does not answer ({error})", "start it with xsp-bgp run", exits.UNREACHABLE)


if __name__ == "__main__":
    sys.exit(main())
