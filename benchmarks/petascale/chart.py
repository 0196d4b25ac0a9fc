"""A picture of a run of the petascale simulation: planning, the mix of queries, healing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.petascale.report import by_chunks

_COLOURS = ("#0072B2", "#D55E00", "#009E73")


def draw(report: dict[str, Any], file: Path) -> None:
    """Write the picture as PNG: one column for each number of chunks is a colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8.5), dpi=110, layout="constrained")
    (plans, mix), (moved, healed) = figure.subplots(2, 2)
    for place, at in enumerate(by_chunks(report)):
        label, colour = f"{at['planning']['chunks']:,} chunks", _COLOURS[place % 3]
        _plans(plans, at, place, colour, label)
        if at["mix"]:
            _mix(mix, at["mix"], place, colour, label)
        lost = [h["lost"] for h in at["healing"]]
        moved.plot(lost, [h["moved_bytes"] / 1e12 for h in at["healing"]], "o-", color=colour, label=f"moved, {label}")
        moved.plot(lost, [h["lost_bytes"] / 1e12 for h in at["healing"]], "x--", color=colour, label=f"held, {label}")
        healed.plot(lost, [h["heal_s"] / 3600 for h in at["healing"]], "o-", color=colour, label=label)
    _name(plans, "Planning", "CPU milliseconds")
    plans.axhline(50, color="#888888", linewidth=1, linestyle=":")
    _name(mix, "100 cones and 50 scans at once: all of a class are done", "seconds")
    _name(moved, "Bytes after losing hosts", "TB", "hosts lost at once")
    _name(healed, "Time until every part has its copies again", "hours", "hosts lost at once")
    figure.savefig(file)


def _plans(axes: Any, at: dict[str, Any], place: int, colour: str, label: str) -> None:
    plans = at["planning"]["plans"]
    axes.bar(
        [i + 0.35 * place for i in range(len(plans))],
        [p["s"] * 1000 for p in plans.values()],
        0.33,
        color=colour,
        label=label,
    )
    axes.set_xticks([i + 0.17 for i in range(len(plans))], [name.replace(" ", "\n", 1) for name in plans], size=8)
    axes.set_yscale("log")


def _mix(axes: Any, said: dict[str, Any], place: int, colour: str, label: str) -> None:
    kinds = said["kinds"]
    spots = [i + 0.35 * place for i in range(len(kinds))]
    ends = [said["as it is"]["ends_s"][kind["name"]] for kind in kinds]
    free = [said["workers alone"]["ends_s"][kind["name"]] for kind in kinds]
    axes.bar(spots, ends, 0.33, color=colour, label=label)
    axes.plot(spots, free, "_", color="white", markersize=13, markeredgewidth=2)
    if place == 0:
        due = [kind["deadline_h"] * 3600 for kind in kinds]
        axes.plot([i + 0.17 for i in range(len(kinds))], due, "v", color="black", label="due")
        axes.plot([], [], "_", color="#aaaaaa", markeredgewidth=2, label="on the workers alone")
    axes.set_xticks(
        [i + 0.17 for i in range(len(kinds))], [kind["name"].replace(" ", "\n", 1) for kind in kinds], size=8
    )
    axes.set_yscale("log")


def _name(axes: Any, title: str, unit: str, below: str = "") -> None:
    axes.set_title(title, loc="left", size=11)
    axes.set_ylabel(unit)
    axes.set_xlabel(below)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, framealpha=0.9, edgecolor="none")
