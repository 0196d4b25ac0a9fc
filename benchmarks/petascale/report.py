"""A run of the petascale simulation as tables, and what of it breaks first."""

from __future__ import annotations

from typing import Any

TERA = 1e12


def by_chunks(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What there is for each number of chunks: "planning", "mix" if it was done, and "healing", a list."""
    stages, found = report["stages"], []
    for chunks in map(int, report["given"]["chunks"].split(",")):
        if f"planning {chunks}" in stages:
            losses = [stages.get(f"healing {chunks} {lost}") for lost in map(int, report["given"]["lost"].split(","))]
            found.append(
                {
                    "planning": stages[f"planning {chunks}"],
                    "mix": stages.get(f"mix {chunks}"),
                    "healing": [healed for healed in losses if healed],
                }
            )
    return found


def markdown(report: dict[str, Any]) -> str:
    """All tables of a report, as far as its stages were done."""
    lines = []
    if "costs" in report["stages"]:
        lines += [*_costs(report["stages"]["costs"]), ""]
    for at in by_chunks(report):
        lines += [f"### {at['planning']['chunks']:,} chunks", "", *_planning(at), ""]
        lines += [*_mix(at["mix"]), ""] if at["mix"] else []
        lines += [*_healing(at), ""] if at["healing"] else []
        lines += [f"Breaks first: {breaks_first(at)}", ""] if at["mix"] and at["healing"] else []
    return "\n".join(lines)


def _costs(costs: dict[str, float]) -> list[str]:
    return [
        "| measured on this machine | |",
        "|---|---|",
        f"| a row of a filtered average of three columns | {costs['scan_ns']:.0f} CPU ns |",
        f"| a row of the larger table of a join by the director's key | {costs['join_ns']:.0f} CPU ns |",
        f"| a row of all pairs within 2 arcsec | {costs['near_ns']:.0f} CPU ns |",
        f"| a cone of 1 arcmin | {costs['cone_s'] * 1000:.1f} CPU ms |",
        f"| a fragment that does nothing: at the scheduler | {costs['scheduler_us']:,.0f} CPU us |",
        f"| at its coordinator | {costs['coordinator_us']:,.0f} CPU us |",
        f"| at the worker | {costs['worker_us']:,.0f} CPU us |",
        f"| a lone one, there and back | {costs['there_and_back_s'] * 1000:.1f} ms |",
    ]


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


def _mix(mix: dict[str, Any]) -> list[str]:
    ways = [mix[name] for name in ("as it is", "fewer out", "no scheduler", "workers alone")]
    one = ways[0]
    lines = [
        "| queries at once | fragments each | due | half, all done | with fewer out | scheduler free | coordinators, too |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in mix["kinds"]:
        name, due = kind["name"], kind["deadline_h"] * 3600
        ends = " | ".join(
            f"{of['median_s'][name]:,.1f} to {of['ends_s'][name]:,.1f} s{' **late**' * (of['ends_s'][name] > due)}"
            for of in ways
        )
        lines.append(f"| {kind['count']} {name} | {kind['fragments']:,} | {due:,.0f} s | {ends} |")
    own = one["cpu_s"] / max(one["events"], 1) * 1e6
    return [
        *lines,
        "",
        f"{one['fragments']:,} fragments. Of {one['makespan_s']:,.0f} s the scheduler was busy for"
        f" {one['scheduler_busy_s']:,.0f} s, the busiest coordinator for {one['coordinator_busy_s']:,.0f} s. The dispatch"
        f" state cost {own:.0f} CPU microseconds an event, simulation included.",
    ]


def _healing(at: dict[str, Any]) -> list[str]:
    lines = [
        "| lost | held | moved | healed after | CPU to start | to heal | slowest tick | parts lost | memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for h in at["healing"]:
        heal = f"{h['heal_s'] / 60:,.0f} min" if h["healthy"] else "not in the time given"
        lines.append(
            f"| {h['lost']} | {h['lost_bytes'] / TERA:,.1f} TB | {h['moved_bytes'] / TERA:,.1f} TB | {heal} |"
            f" {h['started_cpu_s']:.0f} s | {h['cpu_s']:.0f} s | {h['slowest_tick_s']:.1f} s |"
            f" {h['missing']:,} | {h['mb']:,.0f} MB |"
        )
    return lines


def breaks_first(at: dict[str, Any]) -> str:
    """The part that is furthest above what is asked of it."""
    one, none, alone = (at["mix"][name] for name in ("as it is", "no scheduler", "workers alone"))
    due = {kind["name"]: kind["deadline_h"] * 3600 for kind in at["mix"]["kinds"]}
    worst, over = max(((n, one["ends_s"][n] / due[n]) for n in due), key=lambda pair: pair[1])
    without = [of["ends_s"][worst] / due[worst] for of in (none, alone)]
    part = "the scheduler" if without[0] < over / 1.5 else "coordinators" if without[1] < over / 1.5 else "workers"
    planning = max(plan["s"] for plan in at["planning"]["plans"].values())
    tick = max(h["slowest_tick_s"] for h in at["healing"])
    said = {
        f"{part}: {worst} take {over:.2g} times what they may, {without[0]:.2g} times with a scheduler that costs nothing,"
        f" {without[1]:.2g} times on the workers alone": over,
        f"planning, with {planning * 1000:.0f} ms where 50 are aimed at": planning / 0.05,
        f"the keeper's slowest tick, {tick:.1f} s where 10 would do": tick / 10,
    }
    ranked = sorted(said, key=lambda text: -said[text])
    return "; then ".join(ranked[: max(1, sum(over > 1 for over in said.values()))]) + "."
