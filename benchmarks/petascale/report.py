"""A run of the petascale simulation as tables, and what of it breaks first."""

from __future__ import annotations

from typing import Any

TERA = 1e12


def markdown(report: dict[str, Any]) -> str:
    """All tables of a report."""
    lines = []
    for at in report["at"]:
        lines += [f"### {at['planning']['chunks']:,} chunks", "", *_planning(at), "", *_mix(at), "", *_healing(at), ""]
        lines += [f"Breaks first: {breaks_first(at)}", ""]
    return "\n".join(lines)


def _planning(at: dict[str, Any]) -> list[str]:
    said = at["planning"]
    rows = [
        f"| plan: {name} | {plan['s'] * 1000:.0f} ms | {plan['fragments']:,}" for name, plan in said["plans"].items()
    ]
    return [
        "| work | CPU | fragments or units |",
        "|---|---|---|",
        *(f"{row} |" for row in rows),
        f"| units of a tiling | {said['units_s']:.2f} s | {said['units']:,} |",
        f"| placement, fullest host {said['fullest_over_mean']:.2f} of the mean | {said['place_s']:.2f} s | {said['units']:,} |",
        "",
        f"Peak memory of two tables, their plans and the placement: {said['mb']:,.0f} MB.",
    ]


def _mix(at: dict[str, Any]) -> list[str]:
    one, none = at["mix"]["one scheduler"], at["mix"]["no scheduler"]
    lines = [
        "| queries at once | fragments each | due | one scheduler | were the scheduler free |",
        "|---|---|---|---|---|",
    ]
    for kind in at["kinds"]:
        name = kind["name"]
        due = kind["deadline_h"] * 3600
        late = " **late**" if one["ends_s"][name] > due else ""
        lines.append(
            f"| {kind['count']} {name} | {kind['fragments']:,} | {due:,.0f} s | {one['ends_s'][name]:,.1f} s{late} |"
            f" {none['ends_s'][name]:,.1f} s |"
        )
    own = one["cpu_s"] / max(one["events"], 1) * 1e6
    lines += ["", f"{one['fragments']:,} fragments; the scheduler was busy {one['scheduler_busy_s']:,.0f} s of"]
    lines += [
        f"{one['makespan_s']:,.0f} s. The dispatch state cost {own:.0f} CPU microseconds an event, simulation included."
    ]
    return lines


def _healing(at: dict[str, Any]) -> list[str]:
    lines = [
        "| hosts lost | held | moved | healed after | keeper's CPU | slowest tick | parts lost | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for h in at["healing"]:
        heal = f"{h['heal_s'] / 60:,.0f} min" if h["healthy"] else "not in the time given"
        lines.append(
            f"| {h['lost']} | {h['lost_bytes'] / TERA:,.1f} TB | {h['moved_bytes'] / TERA:,.1f} TB | {heal} |"
            f" {h['cpu_s']:.0f} s | {h['slowest_tick_s']:.1f} s | {h['missing']:,} | {h['mb']:,.0f} MB |"
        )
    return lines


def breaks_first(at: dict[str, Any]) -> str:
    """The part that is furthest above what is asked of it."""
    one, none = at["mix"]["one scheduler"], at["mix"]["no scheduler"]
    due = {kind["name"]: kind["deadline_h"] * 3600 for kind in at["kinds"]}
    worst, over = max(((n, one["ends_s"][n] / due[n]) for n in due), key=lambda pair: pair[1])
    without = none["ends_s"][worst] / due[worst]
    planning = max(plan["s"] for plan in at["planning"]["plans"].values())
    said = {
        f"the scheduler: {worst} takes {over:.1f} times what it may, and {without:.2g} times without it": over,
        f"planning, with {planning * 1000:.0f} ms where 50 are aimed at": planning / 0.05,
        f"the keeper's slowest tick, {max(h['slowest_tick_s'] for h in at['healing']):.1f} s where 10 would do": max(
            h["slowest_tick_s"] for h in at["healing"]
        )
        / 10,
    }
    return max(said, key=lambda text: said[text]) + "."
