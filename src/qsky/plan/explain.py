"""A plan in words: what is read of what, which rules fired and why others did not, the SQL on both sides of the line.

Called by `engine`; as a dict for programs, as text for people. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qsky.plan.model import Plan
from qsky.plan.spell import fragment_of


def explained(plans: Sequence[Plan]) -> dict[str, Any]:
    """The plan of a query, the last one, as plain values; those of the queries answered before it are its stages."""
    facts = _facts(plans[-1])
    return {**facts, "stages": [_facts(plan) for plan in plans[:-1]]} if len(plans) > 1 else facts


def _facts(plan: Plan) -> dict[str, Any]:
    return {
        "chunks": {"chosen": plan.chunks_chosen, "of": plan.chunks_total},
        "fragments": plan.fragments,
        "bytes": plan.bytes,
        "gathered": plan.gathers,
        "rules": [{"rule": note.rule, "fired": note.fired, "why": note.why} for note in plan.notes],
        "fragment_sql": _examples(plan),
        "merge_sql": plan.merge,
        "columns": [{"name": name, "type": kind} for name, kind in plan.columns],
    }


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


def explanation(plans: Sequence[Plan]) -> str:
    """The plans as text, those of stages first."""
    said = []
    for number, plan in enumerate(plans):
        title = f"-- stage {number}, answered first; below it is given_{number}\n" if number < len(plans) - 1 else ""
        said.append(title + _text(plan))
    return "\n\n".join(said)


def _text(plan: Plan) -> str:
    facts = _facts(plan)
    lines = [
        f"chunks     {plan.chunks_chosen} of {plan.chunks_total}, in {plan.fragments} fragments",
        f"bytes      {plan.bytes:,} in the files named",
    ]
    lines += [f"{note.rule:<10} {'' if note.fired else 'no: '}{note.why}" for note in plan.notes]
    for example in facts["fragment_sql"]:
        files = ", ".join(f"{{{name}}} = {count} files" for name, count in example["files"].items())
        lines += ["", f"-- under the line: the first of {example['fragments']} fragments ({files})", example["sql"]]
    if plan.merge is not None:
        lines += ["", "-- above the line", plan.merge]
    return "\n".join(lines)
