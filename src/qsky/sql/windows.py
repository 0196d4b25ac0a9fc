"""Window functions: fn(...) OVER (PARTITION BY ... ORDER BY ... frame) becomes a typed Window. Pure; expression uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.aggregates import aggregate_arguments, aggregate_named, result_type
from qsky.sql.query import Expression, Literal_, Order, Window
from qsky.sql.tables import refuse_other_args

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

# name -> (fewest arguments, most arguments, result); "first" is the type of the first argument
_RANKS: Final[dict[str, tuple[int, int, str]]] = {
    "ROW_NUMBER": (0, 0, "BIGINT"),
    "RANK": (0, 0, "BIGINT"),
    "DENSE_RANK": (0, 0, "BIGINT"),
    "PERCENT_RANK": (0, 0, "DOUBLE"),
    "CUME_DIST": (0, 0, "DOUBLE"),
    "NTILE": (1, 1, "BIGINT"),
    "LAG": (1, 3, "first"),
    "LEAD": (1, 3, "first"),
    "FIRST_VALUE": (1, 1, "first"),
    "LAST_VALUE": (1, 1, "first"),
    "NTH_VALUE": (2, 2, "first"),
}
WINDOW_NAMES: Final = tuple(_RANKS)
_UNFRAMED: Final = frozenset({"ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD"})


def bind_window(self: Binder, node: Any) -> Expression:
    """A window function. Raises bad-query, bad-argument, not-supported, type-mismatch."""
    if not self.windows:
        hint = "Put the query into FROM (SELECT ...) AS t, and filter it there."
        raise self.error(node, "bad-query", f"A window function cannot stand in {self.clause}.", hint)
    if self.inside_aggregate:
        raise self.error(node, "bad-query", "A window function cannot stand inside an aggregate or another window.")
    call = node.this
    if isinstance(call, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        raise self.error(node, "not-supported", "IGNORE NULLS and FILTER in a window function are not supported.")
    if not isinstance(call, exp.Anonymous):
        raise self.error(node, "syntax", "OVER must follow a function.")
    spec = _spec(self, node)
    inner = self.within_window()
    partition = tuple(op.as_value(inner.bind(part)) for part in spec.args.get("partition_by") or ())
    order = tuple(_orders(inner, spec.args.get("order")))
    function, arguments, kind = _function(inner, call)
    frame = _frame(self, spec.args.get("spec"), order)
    if function in _UNFRAMED:
        frame = None
    elif frame is None and order and function not in _UNFRAMED:
        frame = ("RANGE", "UNBOUNDED PRECEDING", "CURRENT ROW")
    return Window(
        type=kind, function=function, arguments=tuple(arguments), partition_by=partition, order_by=order, frame=frame
    )


def _spec(self: Binder, node: Any) -> Any:
    """The window itself, or the one WINDOW has named."""
    name = node.args.get("alias")
    if name is None:
        refuse_other_args(self.parsed, node, {"this", "partition_by", "order", "spec", "over"}, "a window")
        return node
    found = self.named_windows.get(name.name.lower())
    if found is None:
        raise self.error(
            node, "unknown-name", f"There is no window {name.name!r}; WINDOW {name.name} AS (...) names one."
        )
    if node.args.get("partition_by") or node.args.get("order") or node.args.get("spec"):
        raise self.error(node, "not-supported", "A named window cannot be changed where it is used.")
    return found


def _orders(inner: Binder, order: Any) -> list[Order]:
    found = []
    for each in order.expressions if order is not None else ():
        refuse_other_args(inner.parsed, each, {"this", "desc", "nulls_first"}, "ORDER BY")
        expression = op.without_case(op.as_value(inner.bind(each.this)))
        found.append(Order(expression, bool(each.args.get("desc")), bool(each.args.get("nulls_first"))))
    return found


def _function(inner: Binder, call: Any) -> tuple[str, list[Expression], str]:
    name = call.name.upper()
    if name in _RANKS:
        return _ranked(inner, call, name)
    form = aggregate_named(name, inner.parsed.lang)
    if form is None:
        raise inner.error(call, "unknown-name", f"There is no window function {call.name}.")
    distinct, arguments = aggregate_arguments(inner, call, form)
    if distinct:
        raise inner.error(call, "not-supported", "DISTINCT in a window function is not supported.")
    return form.name, arguments, "BIGINT" if not arguments else result_type(form, arguments)


def _ranked(inner: Binder, call: Any, name: str) -> tuple[str, list[Expression], str]:
    low, high, result = _RANKS[name]
    arguments = [op.as_value(inner.bind(argument)) for argument in call.expressions]
    if not low <= len(arguments) <= high:
        raise inner.error(call, "bad-argument", f"{name} takes {low} to {high} arguments, not {len(arguments)}.")
    if name in ("LAG", "LEAD") and len(arguments) == 3:
        arguments[0], arguments[2] = op.unify([arguments[0], arguments[2]], name)
    for count in arguments[1:2] if name != "NTILE" else arguments:
        if not (isinstance(count, Literal_) and isinstance(count.value, int) and count.value >= 0):
            raise inner.error(call, "bad-argument", f"{name} needs a constant number of rows.")
    return name, arguments, arguments[0].type if result == "first" else result


_UNITS: Final = frozenset({"ROWS", "RANGE", "GROUPS"})


def _frame(self: Binder, spec: Any, order: tuple[Order, ...]) -> tuple[str, str, str] | None:
    if spec is None:
        return None
    unit = str(spec.args.get("kind") or "").upper()
    if unit not in _UNITS or spec.args.get("exclude"):
        raise self.error(spec, "not-supported", "This frame of a window is not supported.")
    start = _bound(self, spec, "start")
    end = _bound(self, spec, "end") if spec.args.get("end") is not None else "CURRENT ROW"
    if unit != "ROWS" and not order and "CURRENT ROW" not in (start, end):
        raise self.error(spec, "bad-query", f"A frame of {unit} needs ORDER BY.")
    return unit, start, end


def _bound(self: Binder, spec: Any, which: str) -> str:
    bound, side = spec.args.get(which), str(spec.args.get(f"{which}_side") or "").upper()
    if bound == "CURRENT ROW":
        return "CURRENT ROW"
    if bound == "UNBOUNDED" and side in ("PRECEDING", "FOLLOWING"):
        return f"UNBOUNDED {side}"
    plain = isinstance(bound, exp.Literal) and not bound.is_string and bound.name.isdecimal()
    if not plain or side not in ("PRECEDING", "FOLLOWING"):
        raise self.error(spec, "not-supported", "The frame of a window needs a constant number of rows.")
    return f"{int(bound.name)} {side}"
