"""What stands in FROM: tables, joins of every kind, near neighbours, derived tables and CTEs. Called by `queries`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from .expressions import Relation, Scope
from .node import Node, listed, node

_OBJ = {"id": "int", "ra": "real", "dec": "real", "mag": "real", "flux": "real", "class": "int", "name": "text"}
_SRC = {"sid": "int", "oid": "int", "ra": "real", "dec": "real", "f": "real", "band": "int", "late": "int"}
TABLES: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "db.obj": (_OBJ, ("id",), "mag"),
    "db.src": (_SRC, ("sid",), "f"),
    "db.det": ({"sid": "int", "oid": "int", "f": "real", "band": "int"}, ("sid",), "f"),
    "other.cat": (_OBJ, ("id",), "mag"),
    "db.dup": (_OBJ, ("id", "flux", "mag"), "mag"),
    "db.named": ({**_OBJ, "id": "text"}, ("id",), "mag"),
    "db.cased": ({**_OBJ, "name": "ci"}, ("id",), "mag"),
    "db.link": ({"a": "int", "b": "int", "n": "int"}, ("n",), "n"),
    "bare.star": (_OBJ, ("id",), "mag"),
    "db.bands": ({"band": "int", "letter": "text", "ra": "real", "dec": "real"}, ("band",), ""),
}
_CHILDREN = {"db.src": "oid", "db.det": "oid", "db.obj": "id"}
# neighbours in a chain of joins on keys through the match table
_LINKS = {("db.link", "db.obj"): ("a", "id"), ("db.link", "db.cased"): ("b", "id"), ("db.link", "db.src"): ("a", "oid"),
          ("db.obj", "db.src"): ("id", "oid"), ("db.link", "db.link"): ("a", "a")}  # fmt: skip
_CHAINS = ("link obj", "obj link", "link cased", "cased link", "obj link cased", "link cased obj", "cased link obj",
           "src obj link", "link src", "link link", "link obj src")  # fmt: skip
_SHARED = (("db.obj", "db.dup", "id"), ("db.obj", "other.cat", "id"), ("db.src", "db.det", "oid"),
           ("db.det", "db.src", "oid"), ("db.obj", "db.obj", "id"), ("db.det", "db.bands", "band"),
           ("db.cased", "db.obj", "id"), ("bare.star", "db.obj", "id"))  # fmt: skip
_WEIGHTS = {
    "db.obj": 6,
    "db.src": 5,
    "db.det": 2,
    "other.cat": 2,
    "db.dup": 2,
    "db.named": 1,
    "db.cased": 2,
    "db.bands": 2,
    "db.link": 1,
    "bare.star": 1,
}


@dataclass(frozen=True)
class Source:
    """A FROM, what it makes visible, and predicates that belong to WHERE. `inner`: no row of it is made up."""

    text: Node
    scope: Scope
    where: tuple[Node, ...] = ()
    inner: bool = True
    crossed: Node | None = None
    """The same without a comma: a comma binds less than JOIN, so nothing can be joined behind it."""


@dataclass
class Sources:
    """`derived` makes a sub-query with typed columns; `ctes` are what WITH has named so far."""

    rng: random.Random
    mysql: bool
    derived: Callable[[str], tuple[Node, Relation]]
    predicate: Callable[[Scope], Node]
    ctes: list[Relation] = field(default_factory=list)
    used: int = 0
    at_revision: bool = False

    def make(self, *, few: bool = False) -> Source:
        makers: list[Callable[[], Source]] = [self.one]
        if not few:
            makers += [self._family, self._family, self._replicated, self._near, self._near3, self._apart, self._odd]
            makers += [self._of_derived, self._with_derived, self._linked, self._linked, self._using, self._natural]
            makers += [self._nearest]
            if not self.mysql:
                makers.append(self._semi)
        if self.ctes:
            makers += [self._of_cte] * 8
        return self.rng.choice(makers)()

    def alias(self) -> str:
        self.used += 1
        return f"t{self.used}"

    def table(self, name: str | None = None) -> tuple[Node, Relation]:
        name = name or self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        columns, unique, measured = TABLES[name]
        alias = self.alias()
        revision = " AS OF REVISION 1" if self.at_revision else ""
        text = node("", f"{name}{revision} AS {alias}", theirs=f"{name} AS {alias}")
        return text, Relation(alias, columns, unique, name, measured)

    def one(self) -> Source:
        text, relation = self.table()
        return Source(text, (relation,))

    def _kind(self) -> str:
        return self.rng.choice(("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))

    def _joined(self, left: Source, right: tuple[Node, Relation], on: Node, kind: str) -> Source:
        """A join, with a further predicate in ON now and then; inner ones also by comma."""
        text, relation = right
        scope, before = (*left.scope, relation), left.crossed or left.text
        if kind == "JOIN" and left.inner and self.rng.random() < 0.3:
            crossed = node("", "[0] CROSS JOIN [1]", before, text)
            return Source(node("", "[0], [1]", left.text, text), scope, (*left.where, on), crossed=crossed)
        parts = [on]
        if self.rng.random() < 0.3:
            parts.append(self.predicate(scope) if kind != "FULL JOIN" else self.predicate((relation,)))
        made = node("", f"[0] {kind} [1] ON [2]", before, text, listed(parts, " AND ", least=1))
        return Source(made, scope, left.where, left.inner and kind == "JOIN")

    def _equal(self, one: Relation, column: str, other: Relation, column2: str) -> Node:
        pair = [f"{one.alias}.{column}", f"{other.alias}.{column2}"]
        self.rng.shuffle(pair)
        return node("", f"{pair[0]} = {pair[1]}")

    def _family(self) -> Source:
        """A director and its children on the director's key, two or three of them."""
        names = [self.rng.choice(list(_CHILDREN)) for _ in range(self.rng.choice((2, 2, 3)))]
        text, relation = self.table(names[0])
        source = Source(text, (relation,))
        for name in names[1:]:
            right = self.table(name)
            left = self.rng.choice(source.scope)
            on = self._equal(left, _CHILDREN[left.table], right[1], _CHILDREN[name])
            source = self._joined(source, right, on, self._kind())
        return source

    def _linked(self) -> Source:
        """Ends of a match table through it."""
        names = [f"db.{name}" for name in self.rng.choice(_CHAINS).split()]
        text, relation = self.table(names[0])
        source = Source(text, (relation,))
        for name in names[1:]:
            right = self.table(name)
            left = next(r for r in source.scope[::-1] if (r.table, name) in _LINKS or (name, r.table) in _LINKS)
            columns = _LINKS.get((left.table, name)) or _LINKS[name, left.table][::-1]
            on = self._equal(left, columns[0], right[1], columns[1])
            source = self._joined(source, right, on, self._kind())
        return source

    def _using(self) -> Source:
        """USING, whose column has no table."""
        one, other, column = self.rng.choice(_SHARED)
        left, right = self.table(one), self.table(other)
        made = node("", f"[0] {self._kind()} [1] USING ({column})", left[0], right[0])
        merged = Relation("", {column: "int"}, ())
        return Source(made, (left[1], right[1], merged), inner=False)

    def _natural(self) -> Source:
        left, right = self.table("db.det"), self.table("db.bands")
        if self.rng.random() < 0.5:
            left, right = right, left
        kind = self.rng.choice(("JOIN", "LEFT JOIN", "RIGHT JOIN"))
        made = node("", f"[0] NATURAL {kind} [1]", left[0], right[0])
        return Source(made, (left[1], right[1], Relation("", {"band": "int"}, ())), inner=False)

    def _semi(self) -> Source:
        """SEMI and ANTI JOIN, DuckDB's only."""
        left, right = self.table(self.rng.choice(list(_CHILDREN))), self.table(self.rng.choice(list(_CHILDREN)))
        on = self._equal(left[1], _CHILDREN[left[1].table], right[1], _CHILDREN[right[1].table])
        parts = [on, *([self.predicate((left[1], right[1]))] if self.rng.random() < 0.4 else [])]
        kind = self.rng.choice(("SEMI", "ANTI"))
        made = node("", f"[0] {kind} JOIN [1] ON [2]", left[0], right[0], listed(parts, " AND ", least=1))
        return Source(made, (left[1],))

    def _replicated(self) -> Source:
        source = self._family() if self.rng.random() < 0.4 else self.one()
        left = self.rng.choice(source.scope)
        column = next((c for c in ("class", "band") if c in left.columns), None)
        if column is None:
            return source
        right = self.table("db.bands")
        return self._joined(source, right, self._equal(left, column, right[1], "band"), self._kind())

    def _apart(self) -> Source:
        """An equality that no chunk can decide alone."""
        source, right = self.one(), self.table()
        pairs = [
            (one, two)
            for one in ("id", "class", "sid", "oid", "band", "name")
            for two in ("id", "class", "sid", "oid", "band", "name")
            if kind_of(source.scope[0], one) == kind_of(right[1], two) != ""
            and (one in right[1].unique or two in right[1].unique or one in source.scope[0].unique)
        ]
        if not pairs:
            return source
        one, two = self.rng.choice(pairs)
        on = self._equal(source.scope[0], one, right[1], two)
        return self._joined(source, right, on, self._kind())

    def _odd(self) -> Source:
        """No equality at all, over few rows."""
        text, bands = self.table("db.bands")
        right = self.table(self.rng.choice(("db.obj", "db.bands", "db.det")))
        on = self.predicate((bands, right[1]))
        source = Source(text, (bands,))
        return self._joined(source, right, on, self.rng.choice(("JOIN", "LEFT JOIN")))

    # -- near neighbours

    def _within(self, one: Relation, other: Relation, radius: float) -> Node:
        a, b = (one, other) if self.rng.random() < 0.7 else (other, one)
        away = f"scisql_angSep({a.alias}.ra, {a.alias}.dec, {b.alias}.ra, {b.alias}.dec)"
        return node("", self.rng.choice((f"{away} < {radius}", f"{away} <= {radius}", f"{radius} > {away}")))

    def _radius(self) -> float:
        return self.rng.choice((0.0001, 0.002, 0.1, 0.3, 0.499, 0.6, 2.0))

    def _near(self) -> Source:
        pairs = (("db.obj", "db.obj"), ("db.obj", "other.cat"), ("other.cat", "db.obj"), ("db.dup", "db.obj"),
                 ("db.obj", "db.named"), ("db.src", "other.cat"), ("db.obj", "db.bands"), ("other.cat", "db.cased"),
                 ("bare.star", "db.obj"), ("db.obj", "bare.star"), ("db.obj", "db.cased"))  # fmt: skip
        one, other = self.rng.choice(pairs)
        text, left = self.table(one)
        right = self.table(other)
        on = self._within(left, right[1], self._radius())
        kind = "JOIN" if self.rng.random() < 0.7 else self._kind()
        source = self._joined(Source(text, (left,)), right, on, kind)
        also = source.where
        if one == other and self.rng.random() < 0.7:
            also = (*also, node("", f"{left.alias}.id {self.rng.choice(('<', '<>', '<='))} {right[1].alias}.id"))
        return Source(source.text, source.scope, also, source.inner, source.crossed)

    def _near3(self) -> Source:
        """Three tables: a chain of neighbours, or neighbours and a child or a small table."""
        source = self._near()
        if self.rng.random() < 0.4:
            right = self.table(self.rng.choice(("db.obj", "other.cat")))
            left = self.rng.choice(source.scope)
            on = self._within(left, right[1], self.rng.choice((0.002, 0.1, 0.3)))
            return self._joined(source, right, on, "JOIN")
        objects = [r for r in source.scope if r.table in _CHILDREN]
        if not objects:
            return source
        left, name = objects[0], self.rng.choice(("db.src", "db.det"))
        right = self.table(name)
        on = self._equal(left, _CHILDREN[left.table], right[1], "oid")
        return self._joined(source, right, on, self.rng.choice(("JOIN", "LEFT JOIN")))

    def _nearest(self) -> Source:
        """The nearest, or the k nearest, of another catalogue."""
        (text, left), right = self.table("db.obj"), self.table(self.rng.choice(("other.cat", "db.cased", "bare.star")))
        source = self._joined(Source(text, (left,)), right, self._within(left, right[1], self._radius()), "JOIN")
        there = right[1].alias
        away = f"scisql_angSep({left.alias}.ra, {left.alias}.dec, {there}.ra, {there}.dec)"
        rank = f"ROW_NUMBER() OVER (PARTITION BY {left.alias}.id ORDER BY {away}, {there}.id)"
        items = node("", f"SELECT {left.alias}.id AS c0, {there}.id AS c1, {rank} AS c2 FROM ")
        where = listed(list(source.where), " AND ", " WHERE ")
        ranked = Relation(self.alias(), {"c0": "int", "c1": "int", "c2": "int"}, ("c0", "c1"))
        made = node("", f"([0][1][2]) AS {ranked.alias}", items, source.text, where)
        return Source(made, (ranked,), (node("", f"{ranked.alias}.c2 <= {self.rng.choice((1, 1, 3))}"),))

    # -- derived tables and CTEs

    def _of_derived(self) -> Source:
        text, relation = self.derived(self.alias())
        return Source(text, (relation,))

    def _with_derived(self) -> Source:
        """A derived table joined to a table, either side first."""
        one, other = self.table(), self.derived(self.alias())
        keys = [name for name, kind in other[1].columns.items() if kind == "int"]
        if not keys or kind_of(one[1], one[1].unique[0]) != "int":
            return Source(other[0], (other[1],))
        left, right = self.rng.sample((one, other), 2)
        of = {one[1].alias: one[1].unique[0], other[1].alias: self.rng.choice(keys)}
        on = self._equal(left[1], of[left[1].alias], right[1], of[right[1].alias])
        return self._joined(Source(left[0], (left[1],)), right, on, self._kind())

    def _cte(self) -> tuple[Node, Relation]:
        named = self.rng.choice(self.ctes)
        alias = self.alias()
        return node("", f"{named.alias} AS {alias}"), Relation(alias, named.columns, named.unique)

    def _of_cte(self) -> Source:
        text, relation = self._cte()
        source = Source(text, (relation,))
        if self.rng.random() < 0.5:
            return source
        right = self._cte() if self.rng.random() < 0.5 else self.table("db.obj")
        keys = [name for name, kind in right[1].columns.items() if kind == "int"]
        mine = [name for name, kind in relation.columns.items() if kind == "int"]
        if not keys or not mine:
            return source
        theirs = keys[0] if right[1].table else self.rng.choice(keys)
        on = self._equal(relation, self.rng.choice(mine), right[1], theirs)
        return self._joined(source, right, on, self._kind())


def kind_of(relation: Relation, column: str) -> str:
    return relation.columns.get(column, "")
