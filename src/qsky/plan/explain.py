"""A plan in words: what is read of what, which rules fired and why others did not, the SQL on both sides of the line.

Called by `engine`; as a dict for programs, as text for people. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qsky.observed import StageRun
from qsky.plan.estimate import bytes_estimated, bytes_named
from qsky.plan.model import Plan
from qsky.plan.spell import fragment_of


def explained(plans: Sequence[Plan], runs: Sequence[StageRun] = ()) -> dict[str, Any]:
    """The plan of a query, the last one, as plain values; those of the queries answered before it are its stages.

    `runs` say of each plan what it took, if it was run.
    """
    facts = [_facts(plan, run) for plan, run in zip(plans, _each(plans, runs), strict=True)]
    return {**facts[-1], "stages": facts[:-1]} if len(plans) > 1 else facts[-1]


def _each(plans: Sequence[Plan], runs: Sequence[StageRun]) -> Sequence[StageRun | None]:
    return runs or [None] * len(plans)


def _facts(plan: Plan, run: StageRun | None) -> dict[str, Any]:
    facts = {
        "chunks": {"chosen": plan.chunks_chosen, "of": plan.chunks_total},
        "fragments": plan.fragments,
        "bytes": bytes_named(plan),
        "bytes_estimated": bytes_estimated(plan),
        "gathered": plan.gathers,
        "rules": [{"rule": note.rule, "fired": note.fired, "why": note.why} for note in plan.notes],
        "fragment_sql": _examples(plan),
        "merge_sql": plan.merge,
        "columns": [{"name": name, "type": kind} for name, kind in plan.columns],
    }
    return facts if run is None else {**facts, "run": asdict(run)}


def _examples(plan: Plan) -> list[dict[str, Any]]:
    """The first fragment of each scan, its files counted and not listed."""
    found, number = [], 0
    for scan in plan.scans:
        if scan.batches:
            fragment = fragment_of(plan, number)
            files = {source.name: len(source.files) for source in fragment.inputs}
            found.append({"scan": scan.name, "fragments": len(scan.batches), "sql": fragment.sql, "files": files})
        number += len(scan.batches)
    return found


def explanation(plans: Sequence[Plan], runs: Sequence[StageRun] = ()) -> str:
    """The plans as text, those of stages first; `runs` as in `explained`."""
    said = []
    for number, (plan, run) in enumerate(zip(plans, _each(plans, runs), strict=True)):
        title = f"-- stage {number}, answered first; below it is given_{number}\n" if number < len(plans) - 1 else ""
        said.append(title + _text(plan, run))
    return "\n\n".join(said)


def _text(plan: Plan, run: StageRun | None) -> str:
    facts = _facts(plan, None)
    lines = [
        f"chunks     {plan.chunks_chosen} of {plan.chunks_total}, in {plan.fragments} fragments",
        f"bytes      about {facts['bytes_estimated']:,} of {facts['bytes']:,} in the files named",
    ]
    lines += [f"{note.rule:<10} {'' if note.fired else 'no: '}{note.why}" for note in plan.notes]
    if run is not None:
        lines += ["", *_run_lines(run)]
    for example in facts["fragment_sql"]:
        files = ", ".join(f"{{{name}}} = {count} files" for name, count in example["files"].items())
        lines += ["", f"-- under the line: the first of {example['fragments']} fragments ({files})", example["sql"]]
    if plan.merge is not None:
        lines += ["", "-- above the line", plan.merge]
    return "\n".join(lines)


def _run_lines(run: StageRun) -> list[str]:
    """What it took, scan by scan."""
    lines = [f"-- it took {run.seconds:.3f} s for {run.rows:,} rows"]
    for scan in run.scans:
        lines += [
            f"{scan.name:<10} {scan.chunks:,} chunks in {scan.fragments:,} fragments, files of {scan.bytes_read:,} bytes",
            f"{'':<10} {scan.rows:,} rows in pieces of {scan.bytes:,} bytes{', spilled' if scan.spilled else ''}",
            f"{'':<10} {scan.seconds:.3f} s, {scan.cpu_seconds:.3f} s of CPU, in all fragments",
        ]
        if scan.shared:
            lines.append(f"{'':<10} {scan.shared:,} fragments on columns that were decoded once for several queries")
        if scan.retries:
            lines.append(f"{'':<10} {scan.retries:,} attempts more than fragments")
    if run.merge_seconds:
        lines.append(f"{'merge':<10} {run.merge_seconds:.3f} s, {run.merge_cpu_seconds:.3f} s of CPU")
    return lines
