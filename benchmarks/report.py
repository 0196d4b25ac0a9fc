"""What came of a run as values for JSON, and as Markdown: a table of what each took, one of the aims, the notes."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

from benchmarks import postgres
from benchmarks.cases import POSTGRES, QSKY, STILTS, Case
from benchmarks.session import Session

_PACKAGES = ("duckdb", "pyarrow", "lsdb", "hats-import")


def report_of(session: Session) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "objects": session.place.objects,
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "load_average": round(os.getloadavg()[0], 1),
        },
        "versions": _versions(session.peers),
        "cases": [_case(case, session.said[case.name]) for case in session.cases if session.said.get(case.name)],
        "prepared": session.prepared,
        "notes": session.notes,
        "defects": session.defects,
    }


def _versions(peers: frozenset[str]) -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    programs = postgres.binaries()
    if POSTGRES in peers and programs is not None:
        found[POSTGRES] = _said(str(programs / "postgres"), "--version").split()[2]
    if STILTS in peers:
        found[STILTS] = next(
            (line.split()[-1] for line in _said("stilts", "-version").splitlines() if "STILTS v" in line), ""
        )
    return found


def _said(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def _case(case: Case, said: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own = said.get(QSKY, {}).get("cpu_s")
    sides = {side: {**found, "cpu_over_qsky": found["cpu_s"] / own if own else None} for side, found in said.items()}
    values = [(aim, aim.value(said)) for aim in case.aims]
    aims = [
        {
            "text": aim.text,
            "bound": aim.bound,
            "at_least": aim.at_least,
            "value": value,
            "met": None if value is None else aim.met(value),
        }
        for aim, value in values
    ]
    return {"name": case.name, "title": case.title, "small": case.small, "sides": sides, "aims": aims}


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    machine, versions = report["machine"], report["versions"]
    lines = [
        f"{report['objects']:,} objects of 34 columns and twice as many sources. {report['when']}, {machine['cores']} cores "
        f"({machine['architecture']}), Python {machine['python']}, load average at the end {machine['load_average']}. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        *_times(report),
        "",
        *_aims(report),
    ]
    for title, texts in (("Left out", report["notes"]), ("**Defects**", report["defects"])):
        lines += ["", f"{title}:", "", *(f"* {text}" for text in texts)] if texts else []
    return "\n".join(lines) + "\n"


def _times(report: dict[str, Any]) -> list[str]:
    lines = [
        "| work | by | answer | CPU | wall | first time | peak MB | CPU over Qsky's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in report["cases"]:
        title = case["title"]
        for side, said in case["sides"].items():
            ratio = "" if side == QSKY or said["cpu_over_qsky"] is None else f"{said['cpu_over_qsky']:.3g}"
            cells = [
                seconds(said["cpu_s"]),
                seconds(said["wall_s"]),
                seconds(said.get("first_s")),
                said["peak_mb"],
                ratio,
            ]
            lines.append(f"| {title} | {side} | {_answer(said['answer'])} | " + " | ".join(map(str, cells)) + " |")
            title = ""
    return lines


def _aims(report: dict[str, Any]) -> list[str]:
    lines = ["| work | aim | measured | reached |", "|---|---|---|---|"]
    for case in report["cases"]:
        for aim in case["aims"]:
            sign = "at least" if aim["at_least"] else "at most"
            value = "not measured" if aim["value"] is None else f"{aim['value']:.3g}"
            reached = {None: "", True: "yes", False: "**no**"}[aim["met"]]
            lines.append(f"| {case['title']} | {aim['text']}, {sign} {aim['bound']:g} | {value} | {reached} |")
    return lines


def seconds(value: float | None) -> str:
    """Three digits with a unit."""
    if value is None:
        return ""
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"


def _answer(answer: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.6g}" for name, value in answer.items()
    )
