"""Random expressions and predicates over the columns in scope, each spelled for Qsky and for the oracle.

Numbers stay small and fractions are halves, so that no answer hangs on rounding. Called by `queries`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .node import Node, listed, node

SkyShape = tuple[str, str]
SHAPES: tuple[SkyShape, ...] = (
    ("Circle", "0, 0, 1"),
    ("Circle", "10, 90, 0.5"),
    ("Circle", "200, -90, 2"),
    ("Circle", "45, 41.81, 0.3"),
    ("Circle", "123.4, -20, 60"),
    ("Box", "350, -1, 10, 1"),
    ("Box", "0, 60, 360, 90"),
    ("Box", "40, 41, 50, 43"),
    ("Ellipse", "0, 0, 3000, 600, 30"),
    ("Ellipse", "0, 66, 5000, 4000, 100"),
    ("CPoly", "44, 41, 46, 41, 46, 43, 44, 43"),
    ("CPoly", "359, -1, 1, -1, 0, 1"),
    ("CPoly", "0, 89, 120, 89, 240, 89"),
)


def within(shape: SkyShape, at: str) -> Node:
    """Whether the position of the alias lies in a shape: 1 or 0, NULL without a position."""
    name, numbers = shape
    ours = f"scisql_s2PtIn{name}({at}.ra, {at}.dec, {numbers})"
    return node("int", ours, theirs=_in_polygon(numbers, at) if name == "CPoly" else ours)


def _in_polygon(numbers: str, at: str) -> str:
    """On the inner side of the great circle through every two corners, which go around to the left."""
    angles = np.radians([float(number) for number in numbers.split(",")]).reshape(-1, 2)
    ra, dec = angles[:, 0], angles[:, 1]
    corners = np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=1)
    position = (f"cos(radians({at}.dec)) * cos(radians({at}.ra))", f"cos(radians({at}.dec)) * sin(radians({at}.ra))",
                f"sin(radians({at}.dec))")  # fmt: skip
    sides = (
        " + ".join(f"({number!r}) * {axis}" for number, axis in zip(normal.tolist(), position, strict=True)) + " >= 0"
        for normal in np.cross(corners, np.roll(corners, -1, axis=0))
    )
    nowhere = f"{at}.ra IS NULL OR {at}.dec IS NULL"
    return f"(CASE WHEN {nowhere} THEN 0 WHEN {at}.dec BETWEEN -90 AND 90 THEN ({' AND '.join(sides)})::INT END)"


TEXTS = ("o''3", "o''1", "u", "{t0}", "")


@dataclass(frozen=True)
class Relation:
    """Something in FROM: its columns by type, and those that order its rows uniquely."""

    alias: str
    columns: dict[str, str]
    unique: tuple[str, ...]
    table: str = ""
    measured: str = ""
    """A column whose values differ from row to row, or NULL."""

    @property
    def order(self) -> tuple[str, ...]:
        """What tells its rows apart."""
        return tuple(f"{self.alias}.{name}" for name in self.unique)

    @property
    def placed(self) -> bool:
        return self.table != "" and "ra" in self.columns

    def column(self, name: str) -> Node:
        kind = self.columns[name]
        text = f"{self.alias}.{name}" if self.alias else name
        theirs = f"lower({text})" if kind == "ci" else f"{text}::DOUBLE" if name == "flux" else text
        return node(kind, text, theirs=theirs)


Scope = tuple[Relation, ...]


@dataclass
class Expressions:
    """`outer` are the relations of the query around; `subquery` makes a predicate or value with a sub-query."""

    rng: random.Random
    mysql: bool
    outer: Scope = ()
    depth_max: int = 3
    subquery: Callable[[Scope, str], Node] | None = field(default=None)

    def chance(self, of: float) -> bool:
        return self.rng.random() < of

    def pick(self, scope: Scope, kind: str) -> Node | None:
        if self.outer and self.chance(0.3):
            scope = self.outer
        found = [(r, c) for r in scope for c, k in r.columns.items() if k == kind]
        if not found:
            return None
        relation, column = self.rng.choice(found)
        return relation.column(column)

    def of(self, scope: Scope, kind: str, depth: int = 0) -> Node:
        if depth >= self.depth_max or self.chance(0.45):
            return self.leaf(scope, kind)
        return {"int": self._int, "real": self._real, "text": self._text}[kind](scope, depth + 1)

    def leaf(self, scope: Scope, kind: str) -> Node:
        found = self.pick(scope, kind) if self.chance(0.85) else None
        return found or self.literal(kind)

    def literal(self, kind: str) -> Node:
        if kind == "text":
            return node("text", f"'{self.rng.choice(TEXTS)}'")
        if self.chance(0.06):
            return node(kind, "NULL", theirs="NULL::BIGINT" if kind == "int" else "NULL::DOUBLE")
        if kind == "int":
            return node("int", str(self.rng.randint(0, 9)))
        return node("real", str(self.rng.randint(-6, 46) / 2))

    def _case(self, scope: Scope, kind: str, depth: int) -> Node:
        whens = [
            node("", "WHEN [0] THEN [1]", self.predicate(scope, depth), self.of(scope, kind, depth))
            for _ in range(self.rng.randint(1, 2))
        ]
        otherwise = node("", " ELSE [0]", self.of(scope, kind, depth), optional=True)
        return node(kind, "(CASE [0][1] END)", listed(whens, " ", least=1), otherwise)

    def _shared(self, scope: Scope, kind: str, depth: int) -> Node:
        """What any type has."""
        choice = self.rng.randint(0, 4)
        if choice == 0:
            return self._case(scope, kind, depth)
        one, two = self.of(scope, kind, depth), self.of(scope, kind, depth)
        if choice == 1:
            return node(kind, "COALESCE([0], [1])", one, two)
        if choice == 2:
            return node(kind, "NULLIF([0], [1])", one, two)
        if choice == 3 and self.subquery:
            return self.subquery(scope, kind)
        theirs = "(CASE WHEN [0] THEN [1] ELSE [2] END)"
        return node(kind, "IF([0], [1], [2])", self.predicate(scope, depth), one, two, theirs=theirs)

    def _int(self, scope: Scope, depth: int) -> Node:
        if self.chance(0.35):
            return self._shared(scope, "int", depth)
        one, two, small = self.of(scope, "int", depth), self.of(scope, "int", depth), self.rng.randint(1, 5)
        return self.rng.choice(
            (
                node("int", "([0] + [1])", one, two),
                node("int", "([0] - [1])", one, two),
                node("int", f"([0] * {small})", one),
                node("int", f"([0] % {small + 1})", one),
                node("int", f"([0] DIV {small})", one, theirs=f"trunc([0] / {small})::BIGINT"),
                node("int", "ABS([0])", one),
                node("int", "(- [0])", one),
                node("int", "CHAR_LENGTH([0])", self.of(scope, "text", depth), theirs="length([0])"),
                node("int", "CAST(FLOOR([0]) AS SIGNED)", self.of(scope, "real", depth), theirs="floor([0])::BIGINT"),
                node("int", "SIGN([0])", self.of(scope, "real", depth)),
                node("int", "LEAST([0], [1])", one, two, theirs=_ALL.format("least")),
                node("int", "([0] IS NULL)", one, theirs="([0] IS NULL)::INT"),
            )
        )

    def _real(self, scope: Scope, depth: int) -> Node:
        if self.chance(0.35):
            return self._shared(scope, "real", depth)
        one, two = self.of(scope, "real", depth), self.of(scope, self.rng.choice(("real", "int")), depth)
        return self.rng.choice(
            (
                node("real", "([0] + [1])", one, two),
                node("real", "([0] - [1])", one, two),
                node("real", "([0] * 0.5)", one),
                node("real", "([0] / [1])", one, two, theirs="(CASE WHEN [1] <> 0 THEN [0]::DOUBLE / [1] END)"),
                node("real", "SQRT([0])", one, theirs="(CASE WHEN [0] >= 0 THEN sqrt([0]) END)"),
                node("real", "ABS([0])", one),
                node("real", "GREATEST([0], [1])", one, two, theirs=_ALL.format("greatest")),
                node("real", "COS([0])", one),
            )
        )

    def _text(self, scope: Scope, depth: int) -> Node:
        if self.chance(0.4):
            return self._shared(scope, "text", depth)
        one, two = self.of(scope, "text", depth), self.of(scope, "text", depth)
        return self.rng.choice(
            (
                node("text", "CONCAT([0], [1])", one, two, theirs="([0] || [1])"),
                node("text", "UPPER([0])", one),
                node("text", "SUBSTRING([0], 2, 2)", one),
                node("text", "REPLACE([0], 'o', 'q')", one),
            )
        )

    # -- predicates

    def predicate(self, scope: Scope, depth: int = 0) -> Node:
        if depth < self.depth_max and self.chance(0.3):
            return self._logic(scope, depth + 1)
        makers = (self._compare, self._compare, self._null, self._list, self._between, self._like, self._sky, self._sub)
        return self.rng.choice(makers)(scope, depth + 1)

    def _logic(self, scope: Scope, depth: int) -> Node:
        one, two = self.predicate(scope, depth), self.predicate(scope, depth)
        return self.rng.choice(
            (
                node("bool", "([0] AND [1])", one, two),
                node("bool", "([0] OR [1])", one, two),
                node("bool", "(NOT [0])", one),
                node("bool", "([0] XOR [1])", one, two, theirs="(([0]) <> ([1]))"),
                node("bool", "([0] IS TRUE)", one),
                node("bool", "([0] IS NOT TRUE)", one),
            )
        )

    def _compare(self, scope: Scope, depth: int) -> Node:
        kind = self.rng.choice(("int", "real", "real", "text"))
        one, two = self.of(scope, kind, depth), self.of(scope, kind, depth)
        if self.chance(0.1):
            return node("bool", "([0] <=> [1])", one, two, theirs="([0] IS NOT DISTINCT FROM [1])")
        ci = self.pick(scope, "ci") if self.chance(0.2) else None
        if ci:
            return node("bool", "([0] = 'AbC')", ci, theirs="([0] = 'abc')")
        return node("bool", f"([0] {self.rng.choice(('<', '<=', '=', '<>', '>', '>='))} [1])", one, two)

    def _null(self, scope: Scope, depth: int) -> Node:
        some = self.of(scope, self.rng.choice(("int", "real", "text")), depth)
        return node("bool", f"([0] IS {self.rng.choice(('', 'NOT '))}NULL)", some)

    def _list(self, scope: Scope, depth: int) -> Node:
        kind = self.rng.choice(("int", "text"))
        values = [self.literal(kind) for _ in range(self.rng.randint(1, 4))]
        negated = "NOT " if self.chance(0.3) else ""
        return node("bool", f"([0] {negated}IN ([1]))", self.of(scope, kind, depth), listed(values, least=1))

    def _between(self, scope: Scope, depth: int) -> Node:
        low = self.rng.randint(-20, 24)
        negated = "NOT " if self.chance(0.2) else ""
        return node("bool", f"([0] {negated}BETWEEN {low} AND {low + 5})", self.of(scope, "real", depth))

    def _like(self, scope: Scope, depth: int) -> Node:
        pattern = self.rng.choice(("o%", "%3", "_''_", "%''%", "", "U"))
        return node("bool", f"([0] {self.rng.choice(('', 'NOT '))}LIKE '{pattern}')", self.of(scope, "text", depth))

    def _sky(self, scope: Scope, depth: int) -> Node:
        placed = [relation for relation in scope if relation.placed]
        if not placed:
            return self._compare(scope, depth)
        at = self.rng.choice(placed).alias
        if self.chance(0.3):
            return node("bool", f"(scisql_angSep({at}.ra, {at}.dec, 0, 66) < {self.rng.choice((0.2, 1, 90))})")
        return node("bool", f"([0] = {int(self.chance(0.85))})", within(self.rng.choice(SHAPES), at))

    def _sub(self, scope: Scope, depth: int) -> Node:
        if self.subquery is None or depth > 2:
            return self._null(scope, depth)
        return self.subquery(scope, "bool")


_ALL = "(CASE WHEN [0] IS NOT NULL AND [1] IS NOT NULL THEN {}([0], [1]) END)"
