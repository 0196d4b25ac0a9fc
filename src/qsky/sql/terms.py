"""Expressions that are neither names, operators nor calls: intervals, patterns, rows, collations. Pure.

`sql.expression` takes `TERMS` into its table of binders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.query import Call, Expression, Like, Literal_
from qsky.sql.special import moved, span
from qsky.sql.types import family, is_text

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

Bind = Callable[["Binder", Any], Expression]


def shifted(self: Binder, node: Any) -> Expression | None:
    """`d + INTERVAL 1 DAY` and its like; None if the sum has no interval."""
    left, right = node.this, node.expression
    if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
        left, right = right, left
    if not isinstance(right, exp.Interval):
        return None
    count, unit = span(self, right)
    return moved(self, node, self.bind(left), count, unit, isinstance(node, exp.Sub))


def _interval(self: Binder, node: Any) -> Expression:
    raise self.error(node, "syntax", "An INTERVAL can only be added to or subtracted from a date or time.")


def _texts(self: Binder, node: Any, what: str) -> tuple[Expression, Expression]:
    sides = self.bind(node.this), self.bind(node.expression)
    for side in sides:
        if not (is_text(side.type) or side.type == "NULL"):
            raise op.Mismatch(f"{what} compares texts.", "Use CAST(... AS CHAR).")
    return sides


def _regexp(self: Binder, node: Any) -> Expression:
    """x REGEXP pattern: whether the pattern is found anywhere; RE2's syntax."""
    self.only(node, "this", "expression")
    sides = _texts(self, node, "REGEXP")
    function = "MATCHES_ANY_CASE" if op.collation_of(*sides) == "ci" else "MATCHES"
    return Call(type="BOOLEAN", function=function, arguments=sides)


def _like(self: Binder, node: Any, escape: str | None = None) -> Expression:
    self.only(node, "this", "expression", "negate")
    operand, pattern = self.bind(node.this), self.bind(node.expression)
    for side in (operand, pattern):
        if not (is_text(side.type) or side.type == "NULL"):
            raise op.Mismatch(f"LIKE compares texts, not {family(side.type)}.", "Use CAST(... AS CHAR).")
    if escape is None:
        escape = "\\" if self.parsed.lang == "mysql" else ""
    collation, negated = op.collation_of(operand, pattern), bool(node.args.get("negate"))
    return Like(type="BOOLEAN", operand=operand, pattern=pattern, escape=escape, negated=negated, collation=collation)


def _escape(self: Binder, node: Any) -> Expression:
    character = node.expression
    if not isinstance(node.this, exp.Like) or not isinstance(character, exp.Literal) or len(character.name) > 1:
        raise self.error(node, "syntax", "ESCAPE needs one character in quotes after LIKE.")
    return _like(self, node.this, character.name)


def _ilike(self: Binder, node: Any) -> Expression:
    self.only(node, "this", "expression", "negate")
    operand, pattern = _texts(self, node, "ILIKE")
    negated = bool(node.args.get("negate"))
    return Like(type="BOOLEAN", operand=operand, pattern=pattern, escape="", negated=negated, collation="ci")


# Collations without case that MySQL knows by default somewhere; "ci" stands for all of them (docs/semantics.md).
_ANY_CASE: Final = ("_general_ci", "_unicode_ci", "_unicode_520_ci", "_0900_ai_ci", "_uca1400_ai_ci", "_swedish_ci")


def _collate(self: Binder, node: Any) -> Expression:
    """x COLLATE name: case counts where the name ends in _bin or _cs, and not where it is of `_ANY_CASE`."""
    operand, name = self.bind(node.this), node.expression.name.lower()
    if operand.type not in ("VARCHAR", "NULL"):
        raise op.Mismatch("COLLATE is for texts.")
    if name.endswith(_ANY_CASE):
        return op.in_any_case(operand)
    if not name.endswith(("_bin", "_cs")):
        hint = "Known are those that end in _bin or _cs, " + ", ".join(_ANY_CASE) + "."
        raise self.error(node, "not-supported", f"COLLATE {node.expression.name} is not supported.", hint)
    return op.by_bytes(operand)


def _introduced(self: Binder, node: Any) -> Expression:
    """_utf8'text', and _latin1'text' as far as both are the same."""
    operand, name = self.bind(node.expression), str(node.this).lower()
    same = isinstance(operand, Literal_) and str(operand.value).isascii()
    if not name.startswith("_utf8") and not (name in ("_latin1", "_ascii") and same):
        raise self.error(node, "not-supported", f"The character set {str(node.this)[1:]} is not supported.")
    return operand


def _national(self: Binder, node: Any) -> Expression:
    return Literal_(type="VARCHAR", value=str(node.this))


def _row(self: Binder, node: Any) -> Expression:
    hint = "Compare rows by =, <> or IN with rows of the same length."
    raise self.error(node, "not-supported", "A row of values cannot stand here.", hint)


def row_equality(self: Binder, left: Any, right: Any) -> Expression | None:
    """(a, b) = (c, d) as a = c AND b = d; None if neither side is a row."""
    one, other = _cells(left), _cells(right)
    if one is None and other is None:
        return None
    if one is None or other is None or len(one) != len(other):
        raise self.error(left, "type-mismatch", "Rows are compared only with rows of the same length.")
    pairs = zip(one, other, strict=True)
    return op.chain("AND", [op.compare("=", self.bind(a), self.bind(b)) for a, b in pairs])


def row_in(self: Binder, node: Any) -> Expression | None:
    """(a, b) IN ((1, 2), (3, 4)); None if the left side is no row."""
    if _cells(node.this) is None or not node.expressions:
        return None
    found = [row_equality(self, node.this, item) for item in node.expressions]
    either = op.chain("OR", [each for each in found if each is not None])
    return op.negation(either) if node.args.get("negate") else either


def _cells(node: Any) -> list[Any] | None:
    return list(node.expressions) if isinstance(node, exp.Tuple) else None


TERMS: Final[Mapping[type[Any], Bind]] = {
    exp.Interval: _interval,
    exp.RegexpLike: _regexp,
    exp.Like: _like,
    exp.Escape: _escape,
    exp.ILike: _ilike,
    exp.Collate: _collate,
    exp.Introducer: _introduced,
    exp.National: _national,
    exp.Tuple: _row,
}
