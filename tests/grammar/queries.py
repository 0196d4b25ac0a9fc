"""Random whole queries: rows, aggregates, windows, sub-queries, set operations, CTEs. Called by `runs`."""

from __future__ import annotations

import random
from dataclasses import replace

from .expressions import SHAPES, Expressions, Relation, Scope, within
from .node import NOTHING, Node, listed, node
from .sources import Source, Sources

_KEYS = {"db.obj": "id", "db.src": "oid", "db.det": "oid", "other.cat": "id", "db.link": "a", "db.cased": "id"}
_PARTED = ("id", "oid", "class", "band", "a", "c0")
KINDS = ("int", "real", "text")


class Grammar:
    """One query, of its own dice; `mysql` or DuckDB's dialect."""

    def __init__(self, rng: random.Random, *, mysql: bool) -> None:
        self.rng, self.mysql = rng, mysql
        self.expressions = Expressions(rng, mysql)
        self.expressions.subquery = self._subquery
        self.sources = Sources(rng, mysql, self._derived, lambda scope: self.expressions.predicate(scope, 1))
        self.sources.at_revision = self.chance(0.04)
        self.below = 0
        self.exact = False  # no sums of fractions, whose rounding makes equal rows differ

    def chance(self, of: float) -> bool:
        return self.rng.random() < of

    def statement(self) -> Node:
        withs = []
        if self.chance(0.15):
            for number in range(self.rng.randint(1, 2)):
                text, relation = self._select_named(self._few_kinds())
                named = Relation(f"w{number}", relation, tuple(relation))
                withs.append(node("", f"w{number} AS ([0])", text))
                self.sources.ctes.append(named)
        body = self._set_operation() if self.chance(0.12) else self._any_select()
        return node("", "[0][1]", listed(withs, keyword="WITH "), node("", " [0]", body))

    def _any_select(self) -> Node:
        if self.chance(0.02):
            text, _ = self.sources.table()
            return node("", "SELECT COUNT(*) AS c0 FROM [0]", text)
        choice = self.rng.random()
        if choice < 0.5:
            return self._rows()
        return self._aggregates() if choice < 0.85 else self._windows()

    def _few_kinds(self) -> list[str]:
        return [self.rng.choice(KINDS) for _ in range(self.rng.randint(1, 3))]

    # -- parts of a SELECT

    def _where(self, source: Source, more: float = 0.6) -> Node:
        parts = list(source.where)
        if self.chance(more):
            parts += [self.expressions.predicate(source.scope) for _ in range(self.rng.randint(1, 2))]
        if self.chance(0.12):
            parts.append(self._keyed(source.scope))
        if self.mysql and self.chance(0.12):
            parts += [self._area(source) for _ in range(self.rng.choice((1, 1, 2)))]
        return listed([part for part in parts if part is not NOTHING], " AND ", " WHERE ")

    def _keyed(self, scope: Scope) -> Node:
        """What the director index answers."""
        for relation in scope:
            column = _KEYS.get(relation.table)
            if column:
                values = ", ".join(str(self.rng.randint(-18, 40) * 3 - 50 + 54) for _ in range(self.rng.randint(1, 4)))
                return node("", f"{relation.alias}.{column} IN ({values})")
        return NOTHING

    def _area(self, source: Source) -> Node:
        """The restrictor, which asks the position of every partitioned table."""
        placed = [r for r in source.scope if r.placed and r.table != "db.bands"]
        if not source.inner or not placed or any(r.table in ("", "db.det", "db.link") for r in source.scope):
            return NOTHING
        shape = self.rng.choice(SHAPES)
        theirs = " AND ".join(f"{within(shape, r.alias).theirs} = 1" for r in placed)
        name = {"CPoly": "poly"}.get(shape[0], shape[0].lower())
        return node("", f"qserv_areaspec_{name}({shape[1]})", theirs=theirs)

    def _from(self, source: Source) -> Node:
        return node("", " FROM [0]", source.text)

    def _unique(self, scope: Scope) -> str:
        return ", ".join(name for r in scope for name in r.order)

    def _ordered(self, count: int) -> Node:
        """By some columns, then by all, so that a LIMIT leaves no choice."""
        if not self.chance(0.3):
            return NOTHING
        first = [f"{self.rng.randint(1, count)}{self.rng.choice(('', ' DESC'))}" for _ in range(2)]
        rest = [str(place + 1) for place in range(count)]
        seen = dict.fromkeys(text.split()[0] for text in first)
        chosen = {text.split()[0]: text for text in reversed(first)}
        order = [chosen[place] for place in seen] + [place for place in rest if place not in seen]
        limit = f" LIMIT {self.rng.choice((0, 1, 3, 10, 1000))}" if self.chance(0.8) else ""
        offset = f" OFFSET {self.rng.choice((1, 2, 50))}" if limit and self.chance(0.4) else ""
        return node("", f" ORDER BY {', '.join(order)}{limit}{offset}", optional=True)

    def _items(self, items: list[Node]) -> Node:
        return listed([node("", f"[0] AS c{place}", item) for place, item in enumerate(items)], least=1)

    # -- rows

    def _rows(self) -> Node:
        source = self.sources.make()
        if self.chance(0.05) and all(r.alias for r in source.scope):
            return self._everything(source)
        items = [self._item(source.scope) for _ in range(self.rng.randint(1, 4))]
        return self._select(source, items, "DISTINCT " if self.chance(0.15) else "")

    def _everything(self, source: Source) -> Node:
        star = self.rng.choice(("*", f"{source.scope[0].alias}.*"))
        return node("", f"SELECT {star}[0][1]", self._from(source), self._where(source))

    def _item(self, scope: Scope) -> Node:
        kind = self.rng.choice(KINDS)
        if self.chance(0.08):
            return self._subquery(scope, self.rng.choice((kind, "bool")))
        found = self.expressions.pick(scope, kind) if self.chance(0.6) else None
        return found or self.expressions.of(scope, kind)

    def _hidden_order(self, source: Source) -> Node:
        """By an expression that is not shown; the rest of the order makes it unique."""
        scope = source.scope
        key = (
            self._subquery(scope, "int") if self.chance(0.2) else self.expressions.of(scope, self.rng.choice(KINDS), 2)
        )
        found = node(
            "", f" ORDER BY [0] DESC, {self._unique(source.scope)} LIMIT {self.rng.randint(1, 9)}", key, optional=True
        )
        return found if "." in key.spelled(ours=True) else NOTHING

    def _select(self, source: Source, items: list[Node], distinct: str = "") -> Node:
        hidden = not distinct and self.chance(0.1)
        order = self._hidden_order(source) if hidden else self._ordered(len(items))
        clauses = (self._items(items), self._from(source), self._where(source), order)
        return node("", f"SELECT {distinct}[0][1][2][3]", *clauses)

    def _select_named(self, kinds: list[str]) -> tuple[Node, dict[str, str]]:
        """A SELECT of plain columns c0, c1, ... of the kinds asked for, often grouped."""
        self.below += 1
        source = self.sources.make(few=self.below > 2 or self.chance(0.5))
        names = {f"c{place}": kind for place, kind in enumerate(kinds)}
        if self.chance(0.3):
            groups = [self.expressions.leaf(source.scope, self.rng.choice(KINDS))]
            made = self._grouped(source, groups, [self._aggregate(source.scope, kind) for kind in kinds])
        else:
            items = [self.expressions.of(source.scope, kind, 1) for kind in kinds]
            made = self._select(source, items, "DISTINCT " if self.chance(0.2) else "")
        self.below -= 1
        return made, names

    def _derived(self, alias: str) -> tuple[Node, Relation]:
        if self.chance(0.2):
            kinds = self._few_kinds()
            text, names = self._union(kinds), {f"c{place}": kind for place, kind in enumerate(kinds)}
        else:
            text, names = self._select_named(["int", *self._few_kinds()])
        return node("", f"([0]) AS {alias}", text), Relation(alias, names, tuple(names))

    # -- aggregates

    def _aggregates(self) -> Node:
        source = self.sources.make()
        groups = [self._group(source.scope) for _ in range(self.rng.choice((0, 1, 1, 2)))]
        items = [self._aggregate(source.scope, self.rng.choice(KINDS)) for _ in range(self.rng.randint(1, 4))]
        return self._grouped(source, groups, items, shown=True)

    def _group(self, scope: Scope) -> Node:
        kind = self.rng.choice(("int", "int", "text", "real", "ci"))
        if self.chance(0.05):
            return self._subquery(scope, "int")
        if kind != "ci" and self.chance(0.3):
            found = self.expressions.of(scope, kind, 2)
            return found if "." in found.ours + "".join(part.ours for part in found.parts) else self._group(scope)
        own = [r.column(name) for r in scope for name, k in r.columns.items() if k == kind]
        return self.rng.choice(own) if own else self._group(scope)

    def _grouped(self, source: Source, groups: list[Node], items: list[Node], *, shown: bool = False) -> Node:
        # of texts that differ in case only, any may stand for the group
        items = [*(group for group in groups if shown and group.sort != "ci"), *items]
        having = NOTHING
        if groups and self.chance(0.3):
            low = self.rng.randint(0, 3)
            over = (
                self._subquery(self._grouped_scope(source, groups), "int")
                if self.chance(0.4)
                else node("int", str(low))
            )
            test = node("bool", "[0] > [1]", self._aggregate(source.scope, "int"), over)
            having = node("", " HAVING [0]", test, optional=True)
        clauses = [self._items(items), self._from(source), self._where(source), listed(groups, keyword=" GROUP BY ")]
        return node("", "SELECT [0][1][2][3][4][5]", *clauses, having, self._ordered(len(items)))

    def _grouped_scope(self, source: Source, groups: list[Node]) -> Scope:
        """The columns that HAVING may see."""
        texts = {group.ours for group in groups}
        own = [(r, {c: kind for c, kind in r.columns.items() if r.column(c).ours in texts}) for r in source.scope]
        return tuple(Relation(r.alias, columns, ()) for r, columns in own if columns)

    def _aggregate(self, scope: Scope, kind: str) -> Node:
        number = self.expressions.of(scope, self.rng.choice(("int", "real")), 2)
        whole, half = self.expressions.of(scope, "int", 2), self.expressions.of(scope, "real", 2)
        text = self.expressions.of(scope, "text", 2)
        if kind == "text":
            return self.rng.choice(
                (node("text", "MIN([0])", text), node("text", "MAX([0])", text), self._concat(scope))
            )
        if kind == "int":
            some = [
                node("int", "COUNT(*)"),
                node("int", "COUNT([0])", text),
                node("int", "COUNT(DISTINCT [0])", self._folded(scope) or self.rng.choice((whole, text, half))),
                node("int", "SUM([0])", whole),
                node("int", "SUM(DISTINCT [0])", whole),
                node("int", "MIN([0])", whole),
                node("int", "MAX([0])", whole),
                node("int", "BIT_XOR([0] + 60)", whole, theirs="coalesce(bit_xor([0] + 60), 0)")
                if self.mysql
                else node("int", "COUNT(*) FILTER (WHERE [0])", self.expressions.predicate(scope, 2)),
            ]
            measured = [r for r in scope if r.measured]
            if measured:
                r = self.rng.choice(measured)
                if r.columns[r.unique[0]] == "int":
                    of = f"{r.alias}.{r.unique[0]}, {r.alias}.{r.measured}"
                    some += [node("int", f"MIN_BY({of})"), node("int", f"MAX_BY({of})")]
            return self.rng.choice(some)
        if self.exact:
            return node("real", f"{self.rng.choice(('MIN', 'MAX'))}([0])", half)
        function = self.rng.choice(
            ("SUM", "AVG", "MIN", "MAX", "STDDEV_POP", "VAR_SAMP", "MEDIAN", "AVG", "STDDEV_SAMP")
        )
        # DuckDB rounds what lies between two decimals to their last digit
        exact = "([0])::DOUBLE"
        made = node("real", f"{function}([0])", number, theirs=f"MEDIAN({exact})" if function == "MEDIAN" else None)
        quantile = node("real", "QUANTILE_CONT([0], 0.25)", half, theirs=f"QUANTILE_CONT({exact}, 0.25)")
        return self.rng.choice((made, made, quantile))

    def _folded(self, scope: Scope) -> Node | None:
        return self.expressions.pick(scope, "ci")

    def _concat(self, scope: Scope) -> Node:
        order = self._unique(scope)
        text = self.expressions.leaf(scope, "text")
        ours = (
            f"GROUP_CONCAT([0] ORDER BY {order} SEPARATOR ';')"
            if self.mysql
            else f"string_agg([0], ';' ORDER BY {order})"
        )
        return node("text", ours, text, theirs=f"string_agg([0], ';' ORDER BY {order})")

    # -- windows

    def _windows(self) -> Node:
        source = self.sources.make()
        if self.chance(0.2):
            return self._named_window(source)
        items = [self._window(source.scope) for _ in range(self.rng.randint(1, 2))]
        items.append(self._item(source.scope))
        return self._select(source, items)

    def _named_window(self, source: Source) -> Node:
        partition, order = self._over(source.scope)
        number = self.expressions.of(source.scope, self.rng.choice(("int", "real")), 2)
        functions = ("ROW_NUMBER() OVER w", "SUM([0]) OVER w", "LAG([0]) OVER w", "COUNT([0]) OVER (w)")
        items = [node("", self.rng.choice(functions), number) for _ in range(2)]
        window = node("", f" WINDOW w AS ({partition}{order})")
        clauses = (self._items(items), self._from(source), self._where(source), window)
        return node("", "SELECT [0][1][2][3]", *clauses)

    def _over(self, scope: Scope) -> tuple[str, str]:
        own = [r.column(name).ours for r in scope for name in r.columns if name in _PARTED]
        partition = f"PARTITION BY {self.rng.choice(own)} " if own and self.chance(0.6) else ""
        return partition, f"ORDER BY {self._unique(scope)}{self.rng.choice(('', ' DESC'))}"

    def _window(self, scope: Scope) -> Node:
        partition, order = self._over(scope)
        number = self.expressions.of(scope, self.rng.choice(("int", "real")), 2)
        kind = self.rng.randint(0, 3)
        if kind == 0:
            function = self.rng.choice(
                ("ROW_NUMBER()", "RANK()", "DENSE_RANK()", "NTILE(3)", "CUME_DIST()", "PERCENT_RANK()")
            )
            return node("", f"{function} OVER ({partition}{order})")
        if kind == 1:
            call = self.rng.choice(
                ("LAG([0])", "LEAD([0], 2)", "FIRST_VALUE([0])", "LAST_VALUE([0])", "NTH_VALUE([0], 2)")
            )
            return node("", f"{call} OVER ({partition}{order})", number)
        function = self.rng.choice(("SUM", "AVG", "COUNT", "MIN", "MAX"))
        if kind == 2:
            return node("", f"{function}([0]) OVER ({partition.strip()})", number)
        frame = self.rng.choice(
            ("", " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", " ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
             " ROWS UNBOUNDED PRECEDING", " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING")
        )  # fmt: skip
        return node("", f"{function}([0]) OVER ({partition}{order}{frame})", number)

    # -- sets and sub-queries

    def _set_operation(self) -> Node:
        return self._union(self._few_kinds())

    def _union(self, kinds: list[str]) -> Node:
        verbs = ("UNION", "UNION ALL", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL")
        self.exact, before = True, self.exact
        made = node("", "([0])", self._select_named(kinds)[0])
        for _ in range(self.rng.choice((1, 1, 2))):
            more = node("", "([0])", self._select_named(kinds)[0])
            made = node("", f"[0] {self.rng.choice(verbs)} [1]", made, more)
            if self.chance(0.5):
                break
            made = node("", "([0])", made)
        self.exact = before
        return made

    def _subquery(self, scope: Scope, kind: str) -> Node:
        """A predicate or a value; half of them mind the row around."""
        if self.below > 1 or self.chance(0.3):
            return self.expressions.literal(kind) if kind != "bool" else self.expressions._null(scope, 3)
        before, self.below = self.expressions.outer, self.below + 1
        scope = tuple(relation for relation in scope if relation.alias)  # a bare name would mean a column in here
        held = self.sources.ctes
        self.sources.ctes = [] if self.chance(0.7) else held
        self.expressions.outer = ()
        source = self.sources.make(few=self.chance(0.8))
        self.expressions.outer = scope if self.chance(0.2) else ()
        bound = self._bound(scope, source) if self.chance(0.5) else NOTHING
        source = replace(source, where=(*source.where, *((bound,) if bound is not NOTHING else ())))
        made = self._of_kind(scope, source, kind)
        self.expressions.outer, self.below, self.sources.ctes = before, self.below - 1, held
        return made

    def _bound(self, scope: Scope, source: Source) -> Node:
        """The director's key of the row around, or any number of it."""
        if not scope:
            return NOTHING
        inner, around = self.rng.choice(source.scope), self.rng.choice(scope)
        keys = [_KEYS.get(r.table) for r in (inner, around)]
        if all(keys) and self.chance(0.7):
            return node("", f"{inner.alias}.{keys[0]} = {around.alias}.{keys[1]}")
        ints = [[name for name, kind in r.columns.items() if kind == "int"] for r in (inner, around)]
        if not all(ints):
            return NOTHING
        if inner.placed and around.placed and self.chance(0.3):
            away = f"scisql_angSep({inner.alias}.ra, {inner.alias}.dec, {around.alias}.ra, {around.alias}.dec)"
            return node("", f"{away} < {self.rng.choice((0.002, 0.3))}")
        mine, other = (r.column(self.rng.choice(each)).ours for r, each in zip((inner, around), ints, strict=True))
        return node("", f"{mine} = {other}")

    def _of_kind(self, scope: Scope, source: Source, kind: str) -> Node:
        tail = (self._from(source), self._where(source, 0.4))
        if kind != "bool":
            if source.inner and kind == "text":
                value = node("", "MAX([0])", self.expressions.of(source.scope, "text", 2))
            else:
                value = self._aggregate(source.scope, kind)
            return node(kind, "(SELECT [0][1][2])", value, *tail)
        choice = self.rng.randint(0, 4)
        if choice == 0:
            return node("bool", f"({self.rng.choice(('', 'NOT '))}EXISTS (SELECT 1[0][1]))", *tail)
        of = self.rng.choice(("int", "real", "text"))
        one, value = self.expressions.of(scope, of, 2), self.expressions.of(source.scope, of, 2)
        if choice in (1, 2):
            return node("bool", f"([0] {self.rng.choice(('', 'NOT '))}IN (SELECT [1][2][3]))", one, value, *tail)
        if choice == 3:
            verb = self.rng.choice(("> ALL", "< ANY", ">= ALL", "= ANY", "<> ALL"))
            return node("bool", f"([0] {verb} (SELECT [1][2][3]))", one, value, *tail)
        two, value2 = self.expressions.of(scope, "int", 2), self.expressions.of(source.scope, "int", 2)
        return node("bool", "(([0], [1]) IN (SELECT [2], [3][4][5]))", one, two, value, value2, *tail)
