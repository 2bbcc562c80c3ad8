"""The run as a picture: every probe a tick, its colour the site, its shade the line, red if it was lost.

Above, the whole run, a lane for each direction with a row for each flow. Below, every failure under the magnifying
glass. Owns the drawing (matplotlib, without a display). Refuses to compute anything that the report does not say.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.engine import Outcome
from lab.ledger import Ledger, Probe
from lab.report import event_name
from lab.scenario import FAILING

SITE_COLOURS = {"site1": "#2563eb", "site2": "#f59e0b", "site3": "#0f9d6b"}
LOST = "#dc2626"
INK, FAINT, UNKNOWN = "#1f2937", "#e5e7eb", "#9ca3af"
ZOOM_BEFORE_S, ZOOM_AFTER_S = 0.15, 0.60
LANE_GAP = 1.4  # rows between two directions
MAX_ZOOMS = 4


def draw(directory: Path, title: str, ledger: Ledger, outcomes: Sequence[Outcome]) -> list[Path]:
    """Write timeline.svg and timeline.png into a directory."""
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none"})
    zooms = [outcome for outcome in outcomes if outcome.step.do in FAILING][:MAX_ZOOMS]
    figure = Figure(figsize=(16, 9), facecolor="white")
    grid = figure.add_gridspec(
        2,
        max(1, len(zooms)),
        height_ratios=[1.25, 1],
        hspace=0.30,
        wspace=0.10,
        left=0.075,
        right=0.985,
        top=0.835,
        bottom=0.06,
    )
    start, end = outcomes[0].at, outcomes[-1].end
    rows = _rows(ledger)
    whole = figure.add_subplot(grid[0, :])
    _probes(whole, ledger, rows, start, end, start, size=26)
    _frame(whole, ledger, rows, 0.0, end - start)
    _events(whole, outcomes, start, end)
    whole.set_xlabel("seconds", color=INK, labelpad=2)
    for column, outcome in enumerate(zooms):
        _zoom(figure.add_subplot(grid[1, column]), ledger, rows, outcome, first=column == 0)
    _title(figure, title, ledger, outcomes)
    files = [directory / "timeline.svg", directory / "timeline.png"]
    for file in files:
        figure.savefig(file, dpi=130)
    return files


def shade(site: str | None, line: str | None) -> str:
    """The site's colour; line 2 is its lighter half."""
    if site is None:
        return UNKNOWN
    red, green, blue = colors.to_rgb(SITE_COLOURS.get(site, UNKNOWN))
    lightness = 0.0 if line in (None, "line1") else 0.48
    return colors.to_hex((red + (1 - red) * lightness, green + (1 - green) * lightness, blue + (1 - blue) * lightness))


def _rows(ledger: Ledger) -> dict[int, float]:
    """Flow -> height: the flows of a direction side by side, directions apart, the first on top."""
    rows: dict[int, float] = {}
    height = 0.0
    for direction in ledger.directions:
        for number, flow in enumerate(ledger.flows):
            if flow.direction == direction:
                rows[number] = height
                height -= 1.0
        height -= LANE_GAP
    return rows


def _probes(
    axes: Any, ledger: Ledger, rows: dict[int, float], start: float, end: float, zero: float, size: float
) -> None:
    delivered: dict[str, list[Probe]] = {}
    lost: list[Probe] = []
    for probe in ledger.between(start, end):
        if probe.received_at is None:
            lost.append(probe)
        else:
            delivered.setdefault(shade(probe.site, probe.line), []).append(probe)
    for colour, probes in delivered.items():
        x, y = [probe.sent_at - zero for probe in probes], [rows[probe.flow] for probe in probes]
        axes.scatter(x, y, marker="|", s=size, linewidths=1.1, color=colour, rasterized=True, zorder=2)
    if lost:
        x, y = [probe.sent_at - zero for probe in lost], [rows[probe.flow] for probe in lost]
        axes.scatter(x, y, marker="|", s=size * 2.6, linewidths=1.8, color=LOST, zorder=4)


def _frame(axes: Any, ledger: Ledger, rows: dict[int, float], left: float, right: float, labels: bool = True) -> None:
    places = []
    for direction in ledger.directions:
        heights = [rows[number] for number, flow in enumerate(ledger.flows) if flow.direction == direction]
        axes.axhspan(min(heights) - 0.75, max(heights) + 0.75, color="#f8fafc", zorder=0)
        places.append(sum(heights) / len(heights))
    names = [direction.replace("->", " → ") for direction in ledger.directions]
    axes.set_yticks(places, names if labels else [""] * len(names), fontsize=10, color=INK)
    axes.set_ylim(min(rows.values()) - 1.2, max(rows.values()) + 1.2)
    axes.set_xlim(left, right)
    axes.tick_params(length=0, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.8, zorder=1)
    axes.set_axisbelow(True)


def _events(axes: Any, outcomes: Sequence[Outcome], start: float, end: float) -> None:
    for outcome in outcomes:
        if outcome.step.do == "wait":
            continue
        at = outcome.at - start
        failing = outcome.step.do in FAILING
        colour = INK if failing else "#6b7280"
        axes.axvline(at, color=colour, linewidth=1.2, linestyle="-" if failing else (0, (3, 2)), zorder=5)
        text = event_name(outcome) + "\n" + _summary(outcome)
        axes.annotate(
            text,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 4),
            textcoords="offset points",
            ha="left",
            va="bottom",
            color=colour if outcome.ok else LOST,
            fontsize=8.5,
            fontweight="bold" if failing else "normal",
            linespacing=1.35,
        )


def _summary(outcome: Outcome) -> str:
    lost = sum(row.lost for row in outcome.rows)
    shifts = [row.shift_ms for row in outcome.rows if row.shift_ms is not None]
    losses = f"{lost} lost" if lost else "0 lost"
    if not shifts:
        return losses
    return f"{max(shifts):.0f} ms, {losses}" if outcome.step.do in FAILING else f"back, {losses}"


def _zoom(axes: Any, ledger: Ledger, rows: dict[int, float], outcome: Outcome, first: bool) -> None:
    at = outcome.at
    shifts = {row.direction: row.shift_ms for row in outcome.rows}
    known = [shift for shift in shifts.values() if shift is not None]
    after_s = max(ZOOM_AFTER_S, max(known, default=0.0) / 1000 + 0.15)
    end = min(at + after_s, outcome.end)
    _probes(axes, ledger, rows, at - ZOOM_BEFORE_S, end, at, size=60)
    _frame(axes, ledger, rows, -ZOOM_BEFORE_S, after_s, labels=first)
    axes.axvline(0, color=INK, linewidth=1.4, zorder=5)
    for direction, shift_ms in shifts.items():
        if shift_ms is None:
            continue
        heights = [rows[number] for number, flow in enumerate(ledger.flows) if flow.direction == direction]
        x, y = shift_ms / 1000, max(heights) + 0.95
        axes.annotate(
            "", (x, y), (0, y), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
        )
        axes.text(
            x + after_s * 0.015,
            y,
            f"{shift_ms:.0f} ms",
            fontsize=8,
            color=INK,
            va="center",
            ha="left",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            zorder=6,
        )
    axes.set_xticks([0, 0.2, 0.4], ["0", "200 ms", "400 ms"], fontsize=8)
    axes.set_title(event_name(outcome), fontsize=10.5, fontweight="bold", color=INK if outcome.ok else LOST, loc="left")


def _title(figure: Figure, title: str, ledger: Ledger, outcomes: Sequence[Outcome]) -> None:
    sent = sum(row.sent for outcome in outcomes for row in outcome.rows)
    lost = sum(row.lost for outcome in outcomes for row in outcome.rows)
    figure.text(0.012, 0.965, title, fontsize=17, fontweight="bold", color=INK, va="center")
    subtitle = f"{sent:,} probes, {lost} lost. One tick is one probe; a row is one flow."
    figure.text(0.012, 0.932, subtitle, fontsize=10.5, color="#6b7280", va="center")
    entries = [
        Line2D(
            [],
            [],
            marker="|",
            linestyle="",
            markersize=11,
            markeredgewidth=2.6,
            color=shade(site, line),
            label=f"{site}, {line}",
        )
        for site in ledger.sites
        for line in ledger.lines
    ]
    entries.append(Line2D([], [], marker="|", linestyle="", markersize=14, markeredgewidth=3, color=LOST, label="lost"))
    figure.legend(
        handles=entries,
        loc="upper right",
        bbox_to_anchor=(0.99, 0.995),
        ncols=4,
        frameon=False,
        fontsize=9,
        handletextpad=0.1,
        columnspacing=1.2,
        labelcolor=INK,
    )
