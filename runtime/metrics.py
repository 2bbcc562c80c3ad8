"""Prometheus metrics of a daemon, from its status document: printed once, or served to be scraped.

Owns names and exposition; what a document means is said by the `metrics.py` of each program. It is a process of its own
(`xsp-ha metrics --listen`) that asks the control socket at each scrape: nobody who scrapes reaches the daemon's loop,
and a daemon that does not answer is itself a measurement, `xsp_ha_up 0`.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from runtime import control, exits
from runtime.gauge import Document, Gauge

ASK_S = 5.0  # Prometheus gives a scrape 10 s by default


class CannotListen(Exception):
    """The address of `--listen` is of no use. Field: `why`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class DaemonCollector(Collector):
    """What a daemon measures, asked for at each scrape.

    Args:
        program: such as `xsp-ha`.
        ask: the status document now, None if the daemon does not answer.
        gauges: what of the document is a measurement.
    """

    def __init__(
        self, program: str, ask: Callable[[], Document | None], gauges: Callable[[Document], Iterable[Gauge]]
    ) -> None:
        self._prefix = program.replace("-", "_") + "_"
        self._ask = ask
        self._gauges = gauges

    def describe(self) -> list[Metric]:
        """Nothing beforehand: which metrics there are is the daemon's to say."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics of one scrape."""
        document = self._ask()
        up = Gauge("up", "1 if the daemon answers on its control socket", document is not None)
        if document is None:
            yield from self._families([up])
            return
        gauges = [up, *_common(document), *self._gauges(document)]
        yield from self._families(gauges)
        names = {gauge.name for gauge in gauges}  # what a program calls a gauge is none of its counters
        yield from self._counters({name: n for name, n in document["counters"].items() if name not in names})

    def _families(self, gauges: Iterable[Gauge]) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for gauge in gauges:
            family = families.get(gauge.name)
            if family is None:
                name = self._prefix + gauge.name
                family = families[gauge.name] = GaugeMetricFamily(name, gauge.meaning, labels=list(gauge.labels))
            family.add_metric(list(gauge.labels.values()), float(gauge.value))
        yield from families.values()

    def _counters(self, counters: Mapping[str, int]) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for written, count in counters.items():
            name, _, label = written.removesuffix("}").partition("{")
            name = name.removesuffix("_total")
            family = families.get(name)
            if family is None:
                meaning = f"{name.replace('_', ' ')}, since the daemon or the kernel began to count"
                family = families[name] = CounterMetricFamily(self._prefix + name, meaning, labels=["kind"])
            family.add_metric([label], count)
        yield from families.values()


def export(
    program: str, control_socket: Path, gauges: Callable[[Document], Iterable[Gauge]], listen: str | None
) -> None:
    """The verb `metrics`: print them once, for a person or node_exporter's textfile collector, or serve them for ever.

    Exits: UNREACHABLE after printing that the daemon is not up, USAGE if `listen` is of no use.
    """
    if listen is None:
        document = ask(control_socket)
        registry = _registry(DaemonCollector(program, lambda: document, gauges))
        print(generate_latest(registry).decode(), end="")
        if document is None:
            sys.exit(exits.UNREACHABLE)
        return
    try:
        serve(DaemonCollector(program, lambda: ask(control_socket), gauges), listen)
    except CannotListen as error:
        what = f"metrics cannot be served on {listen} ({error.why})"
        exits.fail(what, "Name an address of this machine and a free port, such as [::1]:9627", exits.USAGE)
    threading.Event().wait()


def serve(collector: Collector, listen: str) -> tuple[str, int]:
    """Answer scrapes on `[ADDRESS]:PORT` or `ADDRESS:PORT` in threads. Returns: where. Raises: CannotListen."""
    address, _, port = listen.rpartition(":")
    try:
        socket.getaddrinfo(address.strip("[]"), None, flags=socket.AI_NUMERICHOST)
        server, _ = start_http_server(int(port), address.strip("[]"), _registry(collector))
    except (OSError, ValueError, OverflowError) as error:
        raise CannotListen(str(error)) from error
    return str(server.server_address[0]), int(server.server_address[1])


def ask(control_socket: Path) -> Document | None:
    """The brief status document; None if the daemon does not answer."""
    try:
        answer = control.ask(control_socket, "status", ASK_S, brief=True)
    except control.Unreachable:
        return None
    return answer if answer.get("ok") else None


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def _common(document: Document) -> Iterator[Gauge]:
    version = {"version": str(document["version"]), "instance_name": str(document["instance"])}
    yield Gauge("build_info", "always 1; what runs, and where", 1, version)
    yield Gauge("healthy", "1 if the daemon has no complaint; status says which", document["healthy"])
    yield Gauge("state_seconds", "how long the present state has lasted", document["since_s"])
    yield Gauge("reasons", "how many reasons the present state has", len(document["reasons"]))
