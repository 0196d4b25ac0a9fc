"""Expressions: a syntax tree with names and no types becomes typed nodes. Pure; bind and source use it.

Every node class that means something has a line in `_BINDERS`; any other is refused by name. A part of a node that a
line does not read is refused too (`refuse_other_args`), because sqlglot parses much more than we answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlglot import exp

from qsky.errors import QskyError
from qsky.sql import bits
from qsky.sql import operators as op
from qsky.sql.aggregate_terms import AGGREGATE_TERMS
from qsky.sql.calls import bind_call
from qsky.sql.casts import cast_to
from qsky.sql.parse import Parsed
from qsky.sql.query import (
    Between,
    Binary,
    Case,
    Expression,
    InList,
    IsNull,
    Literal_,
    walk,
)
from qsky.sql.scope import Alias, Scope
from qsky.sql.subquery import bind_exists, bind_in, bind_quantified, bind_value
from qsky.sql.tables import Cte, Tables, refuse_other_args
from qsky.sql.terms import TERMS, row_equality, row_in, shifted
from qsky.sql.types import NULL, family, is_text
from qsky.sql.windows import bind_window


@dataclass
class Binder:
    """Binds the expressions of one clause.

    `aliases` are names SELECT gave, lower case; `aliases_first` prefers them to columns. `clause` names the clause for
    messages; aggregates are welcome if `aggregates`, window functions if `windows`.
    """

    parsed: Parsed
    scope: Scope
    clause: str
    tables: Tables
    ctes: Mapping[str, Cte] = field(default_factory=dict)
    named_windows: Mapping[str, Any] = field(default_factory=dict)
    aggregates: bool = False
    windows: bool = False
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    aliases_first: bool = False
    inside_aggregate: bool = False

    def bind(self, node: Any) -> Expression:
        """The typed expression a node means."""
        binder = _BINDERS.get(type(node))
        if binder is None:
            words = type(node).__name__
            raise self.error(node, "not-supported", f"{_spoken(words)} is not supported in {self.clause} yet.")
        try:
            return binder(self, node)
        except op.Mismatch as wrong:
            raise self.error(node, "type-mismatch", wrong.sentence, wrong.hint) from None

    def predicate(self, node: Any) -> Expression:
        """The node as a condition."""
        try:
            return op.to_predicate(self.bind(node))
        except op.Mismatch as wrong:
            raise self.error(node, "type-mismatch", wrong.sentence, wrong.hint) from None

    def error(self, node: Any, code: str, sentence: str, hint: str = "") -> QskyError:
        return self.parsed.error(node, code, sentence, hint)

    def only(self, node: Any, *allowed: str) -> None:
        """Refuse parts of the node that its line does not read."""
        refuse_other_args(self.parsed, node, set(allowed), _spoken(type(node).__name__))

    def within_aggregate(self) -> Binder:
        return replace(self, inside_aggregate=True, windows=False)

    def within_window(self) -> Binder:
        return replace(self, windows=False)


def _spoken(name: str) -> str:
    """A class name of sqlglot as words: "RegexpLike" -> "REGEXP LIKE"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()


# -- names and constants


def _column(self: Binder, node: Any) -> Expression:
    if isinstance(node.this, exp.Star):
        raise self.error(node, "syntax", f"* cannot stand in {self.clause} at this place.")
    self.only(node, "this", "table", "db")
    if not node.table:
        alias = self.aliases.get(node.name.lower())
        if alias is not None and (self.aliases_first or not self.scope.has(node.name)):
            return _aliased(self, node, alias)
    return self.scope.column(self.parsed, node)


def _aliased(self: Binder, node: Any, alias: Alias) -> Expression:
    if len(set(alias.expressions)) > 1:
        raise self.error(node, "ambiguous-name", f"SELECT gives the name {node.name!r} more than once.")
    expression = alias.expressions[0]
    if self.inside_aggregate and any(type(part).__name__ == "Aggregate" for part in walk(expression)):
        raise self.error(node, "bad-query", f"{node.name!r} is an aggregate and cannot stand inside another.")
    return expression


def _literal(self: Binder, node: Any) -> Expression:
    if node.is_string:
        return Literal_(type="VARCHAR", value=node.this)
    try:
        return op.number(int(node.this))
    except ValueError:
        pass
    try:
        value = float(node.this)
    except ValueError:
        raise self.error(node, "syntax", f"{node.this} is not a number.") from None
    if value in (float("inf"), float("-inf")):
        raise self.error(node, "bad-argument", f"The number {node.this} is too large.")
    return op.number(value)


def _concatenated(self: Binder, node: Any) -> Expression:
    """Texts side by side, as in SQL-92; sqlglot makes nothing else of this class here."""
    parts = [self.bind(part) for part in node.expressions]
    if not all(isinstance(part, Literal_) and is_text(part.type) for part in parts):
        raise self.error(node, "not-supported", "This form of CONCAT is not supported.")
    return Literal_(type="VARCHAR", value="".join(str(part.value) for part in parts))  # type: ignore[attr-defined]


def _radix(base: int) -> Callable[[Binder, Any], Expression]:
    def bound(self: Binder, node: Any) -> Expression:
        value = int(str(node.this) or "0", base)
        if value >= 1 << 64:
            raise self.error(node, "bad-argument", "This number has more than 64 bits.")
        return op.number(value)

    return bound


# -- operators


def _arithmetic(operator: str) -> Callable[[Binder, Any], Expression]:
    def bound(self: Binder, node: Any) -> Expression:
        moved = shifted(self, node)
        if moved is not None:
            return moved
        left, right = self.bind(node.this), self.bind(node.expression)
        if operator == "+" and "VARCHAR" in (left.type, right.type):
            raise op.Mismatch("The operator + adds numbers, not text.", "Use CONCAT to join texts.")
        return op.calculate(operator, left, right)

    return bound


def _bitwise(operator: str) -> Callable[[Binder, Any], Expression]:
    def bound(self: Binder, node: Any) -> Expression:
        joined = bits.bitwise_unsigned if self.parsed.lang == "mysql" else bits.bitwise
        return joined(operator, self.bind(node.this), self.bind(node.expression))

    return bound


def _complement(self: Binder, node: Any) -> Expression:
    operand = self.bind(node.this)
    return bits.complement_unsigned(operand) if self.parsed.lang == "mysql" else bits.complement(operand)


_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)


def _comparison(operator: str) -> Callable[[Binder, Any], Expression]:
    def bound(self: Binder, node: Any) -> Expression:
        _no_chain(self, node)
        if isinstance(node.expression, exp.Any | exp.All) and isinstance(node.expression.this, exp.Query | exp.Paren):
            return bind_quantified(self, operator, node)
        rows = row_equality(self, node.this, node.expression) if operator in ("=", "<>") else None
        if rows is not None:
            return rows if operator == "=" else op.negation(rows)
        return op.compare(operator, self.bind(node.this), self.bind(node.expression))

    return bound


def _no_chain(self: Binder, node: Any) -> None:
    """a < b < c means something else in every dialect, and rarely what was meant."""
    for side in (node.this, node.expression):
        if isinstance(side, _COMPARISONS):
            hint = "Write a < b AND b < c, or put parentheses around one of them."
            raise self.error(node, "syntax", "A comparison is compared again without parentheses.", hint)


def _unequal_or_null(self: Binder, node: Any) -> Expression:
    _no_chain(self, node)
    return op.negation(op.compare("<=>", self.bind(node.this), self.bind(node.expression)))


def _chain(kind: type[Any], operator: str) -> Callable[[Binder, Any], Expression]:
    def bound(self: Binder, node: Any) -> Expression:
        return op.chain(operator, [self.predicate(part) for part in flat(node, kind)])

    return bound


def flat(node: Any, kind: type[Any]) -> list[Any]:
    """The operands of a chain of AND or OR, in the order of the text; parentheses around the same operator vanish."""
    found: list[Any] = []
    todo = [node]
    while todo:
        each = todo.pop()
        inner = each.unnest() if isinstance(each, exp.Paren) else each
        if isinstance(inner, kind):
            todo += [inner.expression, inner.this]
        else:
            found.append(each)
    return found


def _xor(self: Binder, node: Any) -> Expression:
    return op.exclusive(self.predicate(node.this), self.predicate(node.expression))


def _not(self: Binder, node: Any) -> Expression:
    return op.negation(self.predicate(node.this))


def _joined_text(self: Binder, node: Any) -> Expression:
    """|| of ADQL and DuckDB."""
    sides = [self.bind(node.this), self.bind(node.expression)]
    for side in sides:
        if not (is_text(side.type) or side.type == NULL):
            raise op.Mismatch(f"The operator || joins texts, not {family(side.type)}.", "Use CAST(... AS VARCHAR).")
    return Binary(type="VARCHAR", operator="||", left=sides[0], right=sides[1])


def _negated(node: Any) -> bool:
    return bool(node.args.get("negate"))


def _between(self: Binder, node: Any) -> Expression:
    self.only(node, "this", "low", "high", "negate")
    operand, low, high = (self.bind(node.args[part]) for part in ("this", "low", "high"))
    low, high = op.comparable(operand, low)[1], op.comparable(operand, high)[1]
    wide = op.comparable(op.comparable(operand, low)[0], high)[0]
    collation = op.collation_of(operand, low, high)
    return Between(type="BOOLEAN", operand=wide, low=low, high=high, negated=_negated(node), collation=collation)


def _in(self: Binder, node: Any) -> Expression:
    if node.args.get("query") is not None:
        return bind_in(self, node)
    self.only(node, "this", "expressions", "negate", "field")
    rows = row_in(self, node)
    if rows is not None:
        return rows
    if not node.expressions:
        raise self.error(node, "syntax", "IN needs a list of values in parentheses.")
    operand = self.bind(node.this)
    bound = [self.bind(item) for item in node.expressions]
    items = tuple(op.comparable(operand, item)[1] for item in bound)
    wide = next((w for w in (op.comparable(operand, item)[0] for item in items) if w != operand), operand)
    return InList(
        type="BOOLEAN", operand=wide, items=items, negated=_negated(node), collation=op.collation_of(operand, *items)
    )


def _is(self: Binder, node: Any) -> Expression:
    self.only(node, "this", "expression", "negate")
    right = node.expression
    if isinstance(right, exp.Null):
        return IsNull(type="BOOLEAN", operand=self.bind(node.this), negated=_negated(node))
    if isinstance(right, exp.Boolean):
        wanted = self.predicate(node.this)
        known = op.compare("<=>", wanted, op.truth(bool(right.this)))
        return op.negation(known) if _negated(node) else known
    raise self.error(node, "syntax", "IS must be followed by NULL, TRUE or FALSE.")


# The subject of CASE is written out in every branch; a CASE inside a CASE would grow without end.
_CASE_NODES_MAX: Final = 5000


def _case(self: Binder, node: Any) -> Expression:
    self.only(node, "this", "ifs", "default")
    subject = self.bind(node.this) if node.this is not None else None
    if subject is not None and len(list(walk(subject))) * len(node.args["ifs"]) > _CASE_NODES_MAX:
        hint = "Write CASE WHEN condition THEN ... instead."
        raise self.error(node, "not-supported", "The subject of CASE is too long to be compared so often.", hint)
    conditions, values = [], []
    for branch in node.args["ifs"]:
        if subject is None:
            conditions.append(self.predicate(branch.this))
        else:
            conditions.append(op.compare("=", subject, self.bind(branch.this)))
        values.append(op.as_value(self.bind(branch.args["true"])))
    if node.args.get("default") is not None:
        values.append(op.as_value(self.bind(node.args["default"])))
    return case_of(conditions, values)


def case_of(conditions: list[Expression], values: list[Expression]) -> Expression:
    """CASE of typed parts; a value more than conditions is the ELSE."""
    unified = op.unify(values, "CASE")
    otherwise = unified[-1] if len(unified) > len(conditions) else None
    branches = tuple(zip(conditions, unified, strict=False))
    return Case(type=unified[0].type, branches=branches, otherwise=otherwise)


def _cast(self: Binder, node: Any) -> Expression:
    self.only(node, "this", "to")
    return cast_to(self.bind(node.this), node.args["to"])


def _call(self: Binder, node: Any) -> Expression:
    return bind_call(self, node)


def _paren(self: Binder, node: Any) -> Expression:
    return self.bind(node.this)


def _negative(self: Binder, node: Any) -> Expression:
    return op.negate(self.bind(node.this))


def _power(self: Binder, node: Any) -> Expression:
    call = exp.Anonymous(this="POW", expressions=[node.this, node.expression])
    return bind_call(self, call)


_BINDERS: Final[dict[type[Any], Callable[[Binder, Any], Expression]]] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Concat: _concatenated,
    exp.HexString: _radix(16),
    exp.BitString: _radix(2),
    exp.Null: lambda self, node: op.null(),
    exp.Boolean: lambda self, node: op.truth(bool(node.this)),
    exp.Paren: _paren,
    exp.Neg: _negative,
    exp.BitwiseNot: _complement,
    exp.Add: _arithmetic("+"),
    exp.Sub: _arithmetic("-"),
    exp.Mul: _arithmetic("*"),
    exp.Div: _arithmetic("/"),
    exp.IntDiv: _arithmetic("DIV"),
    exp.Mod: _arithmetic("%"),
    exp.Pow: _power,
    exp.BitwiseAnd: _bitwise("&"),
    exp.BitwiseOr: _bitwise("|"),
    exp.BitwiseXor: _bitwise("^"),
    exp.BitwiseLeftShift: _bitwise("<<"),
    exp.BitwiseRightShift: _bitwise(">>"),
    exp.EQ: _comparison("="),
    exp.NEQ: _comparison("<>"),
    exp.LT: _comparison("<"),
    exp.LTE: _comparison("<="),
    exp.GT: _comparison(">"),
    exp.GTE: _comparison(">="),
    exp.NullSafeEQ: _comparison("<=>"),
    exp.NullSafeNEQ: _unequal_or_null,
    exp.And: _chain(exp.And, "AND"),
    exp.Or: _chain(exp.Or, "OR"),
    exp.Xor: _xor,
    exp.Not: _not,
    exp.DPipe: _joined_text,
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Case: _case,
    exp.Cast: _cast,
    exp.Anonymous: _call,
    exp.Subquery: bind_value,
    exp.Exists: bind_exists,
    exp.Window: bind_window,
    **AGGREGATE_TERMS,
    **TERMS,
}
