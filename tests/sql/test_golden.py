"""Goldens of parse, bind and print: a text, its language, and the typed query as SQL or the error it must be.

`pytest tests/sql --rewrite-goldens` writes what comes out; read the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from qsky.catalog.types import arrow_type
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.sql.bind import bind_text
from qsky.sql.print import print_expression, print_order
from qsky.sql.query import (
    ColumnRef,
    Combined,
    Expression,
    From,
    GivenRef,
    Query,
    Statement,
    SubQuery,
    TableRef,
)

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*.yaml"))


def column(ref: ColumnRef) -> str:
    return f"{ref.table}.{ref.column}"


def nested(sub: SubQuery) -> str:
    return rendered(sub.query).replace("\n", " ") if sub.query is not None else f"STAGE {sub.stage}"


def expression(each: Expression) -> str:
    return print_expression(each, column, nested)


def rendered_from(source: From) -> str:
    if isinstance(source, TableRef):
        return f"{source.database}.{source.table.name} AS {source.alias}"
    if isinstance(source, GivenRef):
        return f"STAGE {source.stage} AS {source.alias}"
    if isinstance(source, Combined):
        word = source.operator + (" ALL" if source.all else "")
        return f"({rendered_from(source.left)} {word} {rendered_from(source.right)})"
    on = f" ON {expression(source.on)}" if source.on is not None else ""
    return f"({rendered_from(source.left)} {source.kind.upper()} JOIN {rendered_from(source.right)}{on})"


def rendered(query: Query) -> str:
    """The query as one line per clause; types of items behind their names."""
    shown = [f"{expression(i.expression)} AS `{i.name}` {i.expression.type}" for i in query.items]
    lines = [("SELECT DISTINCT " if query.distinct else "SELECT ") + ", ".join(shown)]
    if query.source is not None:
        lines.append("FROM " + rendered_from(query.source))
    if query.where is not None:
        lines.append("WHERE " + expression(query.where))
    if query.group_by:
        lines.append("GROUP BY " + ", ".join(expression(e) for e in query.group_by))
    if query.having is not None:
        lines.append("HAVING " + expression(query.having))
    if query.order_by:
        lines.append("ORDER BY " + ", ".join(print_order(o, column, nested) for o in query.order_by))
    if query.limit is not None or query.offset:
        lines.append(f"LIMIT {query.limit} OFFSET {query.offset}")
    return "\n".join(lines)


def rendered_statement(statement: Statement) -> str:
    """The stages and the query; the revisions where they are not the usual ones."""
    lines = [f"STAGE {number}:\n{rendered(stage)}" for number, stage in enumerate(statement.stages)]
    lines.append(rendered(statement.query))
    if statement.revisions != (("sky", 7),) and statement.revisions:
        lines.append("AT " + ", ".join(f"{database} {revision}" for database, revision in statement.revisions))
    return "\n".join(lines)


def outcome(case: dict[str, Any], world: Any) -> dict[str, str]:
    """What becomes of a case: {"sql": ...} or {"error": ...}."""
    try:
        statement = bind_text(case["text"], case.get("lang", "mysql"), world, Settings(), "sky")
    except QskyError as error:
        return {"error": str(error)}
    for item in statement.query.items:
        arrow_type(item.expression.type)
    return {"sql": rendered_statement(statement)}


def _cases() -> list[Any]:
    return [
        pytest.param(file, case, id=f"{file.stem}-{number}")
        for file in FILES
        for number, case in enumerate(yaml.safe_load(file.read_text(encoding="utf-8")), start=1)
    ]


@pytest.mark.parametrize(("file", "case"), _cases())
def test_golden(file: Path, case: dict[str, Any], world: Any, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite-goldens"):
        pytest.skip("written by test_goldens_are_written")
    assert outcome(case, world) == {key: value for key, value in case.items() if key in ("sql", "error")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_goldens_are_written(file: Path, world: Any, request: pytest.FixtureRequest) -> None:
    cases = yaml.safe_load(file.read_text(encoding="utf-8"))
    texts = [(case["text"], case.get("lang")) for case in cases]
    assert len(texts) == len(set(texts))
    if request.config.getoption("--rewrite-goldens"):
        given = [{key: case[key] for key in ("text", "lang") if key in case} for case in cases]
        file.write_text(_dumped([case | outcome(case, world) for case in given]), encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)


def _dumped(cases: list[dict[str, Any]]) -> str:
    return "\n".join(
        yaml.dump([case], Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True) for case in cases
    )
