"""Qserv's area restrictors become the calls that plan knows: `qserv_areaspec_*` is one point-in-region test for every
partitioned table of the query. Pure; bind uses it. ADQL's shapes are in `sql.shapes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.catalog.model import Kind, Table
from qsky.errors import QskyError
from qsky.sky.region import region_of
from qsky.sql import operators as op
from qsky.sql.query import Binary, Call, ColumnRef, Expression, TableRef, conjuncts

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

RESTRICTORS: Final = {
    "qserv_areaspec_box": "scisql_s2PtInBox",
    "qserv_areaspec_circle": "scisql_s2PtInCircle",
    "qserv_areaspec_ellipse": "scisql_s2PtInEllipse",
    "qserv_areaspec_poly": "scisql_s2PtInCPoly",
}


def checked_region(self: Binder, node: Any, function: str, values: tuple[float, ...]) -> Any:
    """The region of constants; bad-region with its place if there is none."""
    try:
        return region_of(function, values)
    except QskyError as error:
        raise self.error(node, error.code.name, error.message, error.hint) from None


# -- qserv_areaspec_*


def is_restrictor(node: Any) -> bool:
    """Whether a condition is qserv_areaspec_*(...), alone or compared as `= 1`, which Qserv's users write too."""
    call = _restrictor_call(node)
    return isinstance(call, exp.Anonymous) and call.name.lower() in RESTRICTORS


def _restrictor_call(node: Any) -> Any:
    if not isinstance(node, exp.EQ):
        return node
    sides = (node.this.unnest(), node.expression.unnest())
    return next((call for call, one in (sides, sides[::-1]) if isinstance(one, exp.Literal) and one.sql() == "1"), node)


def bind_restrictor(self: Binder, node: Any, refs: Sequence[TableRef], links: Sequence[Expression]) -> list[Expression]:
    """One point-in-region test per partitioned table with positions; `links` are the query's join conditions.

    Raises bad-query, bad-argument, bad-region.
    """
    node = _restrictor_call(node)
    function = RESTRICTORS[node.name.lower()]
    bound = [self.bind(argument) for argument in node.expressions]
    if not all(op.is_literal_number(argument) for argument in bound):
        raise self.error(node, "bad-argument", f"{node.name} takes constant numbers, in degrees.")
    values = tuple(float(argument.value) for argument in bound)  # type: ignore[attr-defined]
    checked_region(self, node, function, values)
    partitioned = [ref for ref in refs if ref.table.partitioned]
    if not partitioned:
        raise self.error(node, "bad-query", f"{node.name} needs a table that is sharded over the sky in FROM.")
    numbers = tuple(op.number(value) for value in values)
    tests = []
    for ref in partitioned:
        position = _position(ref)
        if position:
            call = Call(type="INTEGER", function=function, arguments=(*position, *numbers))
            tests.append(op.compare("=", call, op.number(1)))
        elif not _placed_by_another(ref, partitioned, links):
            hint = "Join its director by the key."
            raise self.error(node, "bad-query", f"{node.name} cannot place {ref.alias}, which has no position.", hint)
    return tests


def _position(ref: TableRef) -> tuple[Expression, ...]:
    """(ra, dec) of a row, or () where it has none. An attached table may say only its cell, good to 0.4 mas."""
    table = ref.table
    if table.ra and table.dec:
        return _position_column(ref, table.ra), _position_column(ref, table.dec)
    if table.attached is not None and table.attached.of_points and table.cell_column:
        cell = ColumnRef(type="BIGINT", table=ref.alias, column=table.cell_column)
        calls = ("healpix_ra", "healpix_dec")
        return tuple(Call(type="DOUBLE", function=name, arguments=(op.number(29), cell)) for name in calls)
    return ()


def _position_column(ref: TableRef, name: str) -> ColumnRef:
    column = ref.table.column(name)
    assert column is not None
    return ColumnRef(type=column.type, table=ref.alias, column=name)


def _placed_by_another(ref: TableRef, refs: Sequence[TableRef], links: Sequence[Expression]) -> bool:
    """Whether a table without positions is joined by key to one that has them."""
    ends = _ends(ref.table)
    for link in links:
        for part in conjuncts(link):
            if isinstance(part, Binary) and part.operator == "=":
                sides = (part.left, part.right)
                for mine, theirs in (sides, sides[::-1]):
                    if _links(ref, ends, mine, theirs, refs):
                        return True
    return False


def _ends(table: Table) -> set[tuple[str, str]]:
    """(own column, director) pairs through which the table is placed."""
    if table.kind is Kind.MATCH:
        return {(end.key, end.director) for end in table.match}
    return {(table.key, table.director)}


def _links(
    ref: TableRef, ends: set[tuple[str, str]], mine: Expression, theirs: Expression, refs: Sequence[TableRef]
) -> bool:
    if not (isinstance(mine, ColumnRef) and isinstance(theirs, ColumnRef) and mine.table == ref.alias):
        return False
    other = next((r for r in refs if r.alias == theirs.table and r.table.ra), None)
    if other is None or other.database != ref.database or other.table.key != theirs.column:
        return False
    return (mine.column, other.table.family) in ends
