"""xsp-ha: the home agent; `xsp-ha --help` lists its commands."""

import argparse
import base64
import json
import sys
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from ha.config import Config, ConfigRefused, Member, Reflector, load
from runtime import control, exits, log
from runtime.status import print_status

STATUS_TIMEOUT_S = 30.0  # the kernel's dump of 100,000 customers takes seconds
DEFAULT_CONFIG = Path("/etc/anycast-xsp/ha.toml")


def main() -> None:
    """Entry point of the console script."""
    arguments = _parse(sys.argv[1:])
    try:
        config = load(arguments.config)
    except ConfigRefused as error:
        exits.fail(
            f"the configuration {error.path} cannot be used: {error.why}", "Correct it and check with -n", exits.USAGE
        )
    if arguments.check:
        if arguments.verbose:
            print(json.dumps(config.model_dump(mode="json"), indent=2))
        return
    if arguments.verb == "status" and (isinstance(config, Config) or arguments.home_address is None):
        asked = {"home_address": str(arguments.home_address)} if arguments.home_address is not None else {}
        sys.exit(print_status(_ask(config, "status", STATUS_TIMEOUT_S, **asked), as_json=arguments.json))
    elif arguments.verb == "metrics":
        from ha import metrics
        from runtime.metrics import export

        export("xsp-ha", config.control_socket, metrics.gauges, arguments.listen)
    elif isinstance(config, Reflector):
        _reflector(config, arguments)
    else:
        _home_agent(config, arguments)


def _reflector(config: Reflector, arguments: argparse.Namespace) -> None:
    if arguments.verb != "run" or arguments.journal is not None:
        what = f"{config.instance} is a reflector and no home agent: it has no customers and announces nothing"
        exits.fail(what, "Ask a home agent, or use run, status and metrics", exits.REFUSED)
    from ha.reflector import run

    log.configure("debug" if arguments.verbose else "info")
    run(config)


def _home_agent(config: Config, arguments: argparse.Namespace) -> None:
    if arguments.verb == "run":
        # Only the daemon needs the data plane, the sockets and asyncio.
        from ha.daemon import run

        log.configure("debug" if arguments.verbose else "info")
        run(config, arguments.config, arguments.journal)
    elif arguments.verb == "replay":
        _replay(config, arguments.file)
    elif arguments.verb == "accounting":
        _accounting(config, arguments.home_address, arguments.json)
    elif arguments.verb == "purge":
        from ha.purge import purge

        print(purge(config))
    elif arguments.verb == "revoke":
        home_address = str(arguments.home_address)
        answer = _ask(config, "revoke", home_address=home_address, bids=arguments.bid)
        print(f"{config.instance}: {answer['revoked']} binding(s) of {home_address} revoked, at all sites")
    else:
        _wish(config, arguments)


def _wish(config: Config, arguments: argparse.Namespace) -> None:
    from ha import operator

    _ask(config, arguments.verb, by=operator.name(), why=arguments.reason)
    if not getattr(arguments, "wait", False):
        print(f"{config.instance}: {arguments.verb} asked; follow it with 'xsp-ha --config {arguments.config} status'")
        return
    waited_s = operator.wait(
        lambda: _ask(config, "leaving", STATUS_TIMEOUT_S),  # a busy moment there is no reason to stop waiting
        lambda state: print(f"{config.instance}: {state}", flush=True),
        arguments.timeout,
    )
    if waited_s is not None:
        what = f"{config.instance} still serves after {waited_s:g} s"
        exits.fail(what, "See why above; 'xsp-ha undrain' puts it back", exits.REFUSED)
    print(f"{config.instance}: drained, nothing arrives any more; it may be stopped")


def _accounting(config: Config, home_address: IPv6Address | None, as_json: bool) -> None:
    from ha import accounting

    found: list[dict[str, object]] = []
    if home_address is not None:
        found = _ask(config, "accounting", STATUS_TIMEOUT_S, home_address=str(home_address))["customers"]
    else:
        start: int | None = 0
        while start is not None:
            page = _ask(config, "accounting", STATUS_TIMEOUT_S, start=start)
            found += page["customers"]
            start = page["next"]
    if as_json:
        print(json.dumps({"instance": config.instance, "customers": found}))
    else:
        print(accounting.table(found))


def _replay(config: Config, file: Path) -> None:
    from ha import customer_table
    from ha.journal import JournalRefused
    from ha.replay import Player, replay

    try:
        table = customer_table.parse(config.customer_table.read_bytes(), config.public_key_octets(), config.set)
        key = base64.b64decode(config.cookie_key_file.read_text()) if config.cookie_key_file else b""

        player = Player(config.policy(key), config.topology, table, config.bgp.mrai_s, config.bgp.orphan_hold_s)
        with open(file, encoding="utf-8") as lines:
            replay((line.rstrip("\n") for line in lines), player, print)
    except OSError as error:
        exits.fail(f"{error.filename} cannot be read ({error.strerror})", "Name files that are there", exits.MISSING)
    except customer_table.TableRefused as error:
        what = f"the customer table {config.customer_table} cannot be used: {error.why}"
        exits.fail(what, "Use the one that was in force when the journal was written", exits.REFUSED)
    except JournalRefused as error:
        exits.fail(f"{file} is no journal that can be played: {error.why}", "Take another", exits.REFUSED)


def _ask(config: Member, do: str, timeout_s: float = 2.0, **fields: Any) -> dict[str, Any]:
    try:
        answer = control.ask(config.control_socket, do, timeout_s, **fields)
    except control.Unreachable as error:
        exits.fail(
            f"xsp-ha of {config.instance} does not answer ({error})", "Start it, or look at its log", exits.UNREACHABLE
        )
    if not answer.pop("ok", False):
        exits.fail(str(answer.get("error")), str(answer.get("remedy")), exits.REFUSED)
    return answer


def _parse(words: list[str]) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", type=Path, metavar="FILE", help=f"configuration (default {DEFAULT_CONFIG})")
    common.add_argument("-n", dest="check", action="store_true", help="check the configuration and exit")
    common.add_argument("-v", dest="verbose", action="store_true", help="with -n: print it; with run: log more")
    parser = argparse.ArgumentParser(
        prog="xsp-ha", description="The home agent of one site, or a reflector.", parents=[common]
    )
    verbs = parser.add_subparsers(
        dest="verb", metavar="run|status|accounting|metrics|drain|depreference|undrain|revoke|purge|replay"
    )
    run = verbs.add_parser("run", parents=[common], help="serve in the foreground (default)")
    run.add_argument("--journal", type=Path, metavar="FILE", help="write down every event, to be replayed")
    replay = verbs.add_parser("replay", parents=[common], help="play a journal: what would be done, as JSON lines")
    replay.add_argument("file", type=Path, metavar="FILE")
    status = verbs.add_parser("status", parents=[common], help="what the kernel, the peers and BGP report")
    status.add_argument("home_address", type=IPv6Address, nargs="?", metavar="HOME_ADDRESS", help="this one's bindings")
    status.add_argument("--json", action="store_true", help="the whole document")
    accounting = verbs.add_parser("accounting", parents=[common], help="what each customer sent and received here")
    accounting.add_argument("home_address", type=IPv6Address, nargs="?", metavar="HOME_ADDRESS", help="of this one")
    accounting.add_argument("--json", action="store_true", help="as JSON")
    metrics = verbs.add_parser("metrics", parents=[common], help="for Prometheus: print once, or serve")
    metrics.add_argument("--listen", metavar="ADDRESS:PORT", help="serve them there, such as [::1]:9627")
    wish = argparse.ArgumentParser(add_help=False)
    wish.add_argument("--reason", default="", metavar="TEXT", help="shown in status, logs and at xsp-bgp")
    asked = [common, wish]
    drain = verbs.add_parser("drain", parents=asked, help="take this site out of service without loss, until undrain")
    drain.add_argument("--wait", action="store_true", help="until no packet comes any more")
    timeout = "how long to wait at most (twice the neighbours' longest interval and a minute)"
    drain.add_argument("--timeout", type=float, metavar="S", help=timeout)
    verbs.add_parser("depreference", parents=asked, help="let other sites go first, but stay announced, until undrain")
    verbs.add_parser("undrain", parents=asked, help="put it back in service")
    revoke = verbs.add_parser("revoke", parents=[common], help="take a mobile router's bindings away, at all sites")
    revoke.add_argument("home_address", type=IPv6Address, metavar="HOME_ADDRESS")
    revoke.add_argument("--bid", type=int, action="append", default=[], help="only this binding; may be repeated")
    verbs.add_parser("purge", parents=[common], help="when it is stopped for good: take all of ours out of the kernel")
    found = parser.parse_args(words)
    defaults = {"config": DEFAULT_CONFIG, "check": False, "verbose": False, "json": False, "journal": None}
    for name, value in defaults.items():
        if not hasattr(found, name):
            setattr(found, name, value)
    found.verb = found.verb or "run"
    return found


if __name__ == "__main__":
    main()
