"""Plans as data: the query, what the rules did or left, the fragments, the SQL on both sides of the line.

`pytest tests/plan --rewrite-goldens` writes what comes out; read the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from qsky.config import Settings
from qsky.plan.explain import explained
from qsky.plan.spell import fragment_of

from .paper_sky import bound, planned, planned_over

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.yaml"))


def as_data(case: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan of a case is. A case has a text, and perhaps a dialect (`lang`), the rows of its stages (`rows`),
    or one stage that is worked out inside the query (`over`)."""
    text, asked = case["query"], {key: case[key] for key in ("lang", "rows", "over") if key in case}
    lang, rows = asked.get("lang", "mysql"), asked.get("rows", ())
    plan = planned_over(text, lang) if "over" in asked else planned(text, lang, rows)
    facts = explained((plan,))
    files = [
        {source.name: sorted(f.address.rsplit("/", 1)[-1] for f in source.files) for source in fragment.inputs}
        for fragment in (fragment_of(plan, number) for number in range(min(plan.fragments, 2)))
    ]
    found = {
        "query": text,
        **asked,
        "fired": [f"{r['rule']}: {r['why']}" for r in facts["rules"] if r["fired"]],
        "not": [f"{r['rule']}: {r['why']}" for r in facts["rules"] if not r["fired"]],
        "chunks": f"{facts['chunks']['chosen']} of {facts['chunks']['of']}",
        "fragments": facts["fragments"],
        "under": [example["sql"] for example in facts["fragment_sql"]],
        "above": facts["merge_sql"],
    }
    stages = len(bound(text, Settings(), lang).stages)
    if stages:
        found["stages answered before"] = stages
    if sum(len(names) for each in files for names in each.values()) <= 12:
        found["files"] = files
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_plans(file: Path, request: pytest.FixtureRequest) -> None:
    cases = yaml.safe_load(file.read_text())
    found = [as_data(case) for case in cases]
    if request.config.getoption("--rewrite-goldens"):
        file.write_text(yaml.safe_dump(found, sort_keys=False, width=120, allow_unicode=True))
        return
    for got, expected in zip(found, cases, strict=True):
        assert got == expected, got["query"]
