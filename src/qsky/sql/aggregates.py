"""Aggregates as data: what they take, what they give, how DuckDB says them, and their calls bound. Pure.

calls and windows bind through this, print writes the text, plan.partial decides how each is folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.query import Aggregate, Call, Case, Expression, Literal_, Order
from qsky.sql.types import NULL, family, is_exact, is_float, is_number, is_text, sum_type

if TYPE_CHECKING:
    from qsky.sql.expression import Binder


@dataclass(frozen=True)
class Form:
    """One aggregate: `takes` has n (number), i (integer), b (condition), s (text) or a (any) per argument.

    `result` is a type, or "sum" (wide enough for any sum), "first" (that of the first argument). `text` is DuckDB's,
    with {0}, {1} for the arguments.
    """

    name: str
    takes: str
    result: str
    text: str


_FORMS: Final = (
    Form("COUNT", "a", "BIGINT", "count({0})"),
    Form("SUM", "n", "sum", "sum({0})"),
    Form("AVG", "n", "DOUBLE", "avg({0})"),
    Form("MIN", "a", "first", "min({0})"),
    Form("MAX", "a", "first", "max({0})"),
    Form("STDDEV_POP", "n", "DOUBLE", "stddev_pop({0})"),
    Form("STDDEV_SAMP", "n", "DOUBLE", "stddev_samp({0})"),
    Form("VAR_POP", "n", "DOUBLE", "var_pop({0})"),
    Form("VAR_SAMP", "n", "DOUBLE", "var_samp({0})"),
    Form("COVAR_POP", "nn", "DOUBLE", "covar_pop({0}, {1})"),
    Form("COVAR_SAMP", "nn", "DOUBLE", "covar_samp({0}, {1})"),
    Form("CORR", "nn", "DOUBLE", "corr({0}, {1})"),
    Form("REGR_SLOPE", "nn", "DOUBLE", "regr_slope({0}, {1})"),
    Form("REGR_INTERCEPT", "nn", "DOUBLE", "regr_intercept({0}, {1})"),
    Form("MEDIAN", "n", "DOUBLE", "quantile_cont({0}, 0.5)"),
    Form("QUANTILE_CONT", "nq", "DOUBLE", "quantile_cont({0}, {1})"),
    Form("QUANTILE_DISC", "aq", "first", "quantile_disc({0}, {1})"),
    Form("APPROX_QUANTILE", "nq", "DOUBLE", "approx_quantile({0}, {1})"),
    Form("APPROX_COUNT_DISTINCT", "a", "BIGINT", "approx_count_distinct({0})"),
    Form("MODE", "a", "first", "mode({0})"),
    Form("MIN_BY", "aa", "first", "arg_min({0}, {1})"),
    Form("MAX_BY", "aa", "first", "arg_max({0}, {1})"),
    Form("FIRST", "a", "first", "first({0})"),
    Form("ANY_VALUE", "a", "first", "any_value({0})"),
    Form("BIT_AND", "i", "BIGINT", "bit_and(CAST({0} AS BIGINT))"),
    Form("BIT_OR", "i", "BIGINT", "bit_or(CAST({0} AS BIGINT))"),
    Form("BIT_XOR", "i", "BIGINT", "bit_xor(CAST({0} AS BIGINT))"),
    Form("BOOL_AND", "b", "BOOLEAN", "bool_and({0})"),
    Form("BOOL_OR", "b", "BOOLEAN", "bool_or({0})"),
    Form("GROUP_CONCAT", "ss", "VARCHAR", "string_agg({0}, {1}{order})"),
)
# In a fold e1 is the count, e2 the mean, e3 the sum of squared deviations; words that qsky.words knows.
_MOMENTS: Final = (
    "list_reduce(list({{'e1': CAST({0} AS DOUBLE), 'e2': {1}, 'e3': {2}}}) FILTER (WHERE {0} > 0), lambda a1, a2: "
    "{{'e1': a1.e1 + a2.e1, 'e2': a1.e2 + (a2.e2 - a1.e2) * a2.e1 / (a1.e1 + a2.e1), "
    "'e3': a1.e3 + a2.e3 + (a2.e2 - a1.e2) * (a2.e2 - a1.e2) * a1.e1 * a2.e1 / (a1.e1 + a2.e1)}})"
)


def _from_moments(name: str, value: str) -> Form:
    """A variance of (count, mean, sum of squared deviations) of pieces, folded in their order.

    Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    return Form(name, "inn", "DOUBLE", f"list_transform([{_MOMENTS}], lambda a3: {value})[1]")


# What plan.partial writes above the line; no user can.
FOLDS: Final = {
    form.name: form
    for form in (
        # the first row of the first piece that has any
        Form("FOLD_FIRST", "ai", "first", "first({0}) FILTER (WHERE {1} > 0)"),
        _from_moments("FOLD_VAR_POP", "a3.e3 / a3.e1"),
        _from_moments("FOLD_VAR_SAMP", "CASE WHEN a3.e1 > 1 THEN a3.e3 / (a3.e1 - 1) END"),
        _from_moments("FOLD_STDDEV_POP", "sqrt(a3.e3 / a3.e1)"),
        _from_moments("FOLD_STDDEV_SAMP", "CASE WHEN a3.e1 > 1 THEN sqrt(a3.e3 / (a3.e1 - 1)) END"),
    )
}
FORMS: Final = {form.name: form for form in _FORMS}
_ALIASES: Final = {
    "STD": "STDDEV_POP",
    "VARIANCE": "VAR_POP",
    "QUANTILE": "QUANTILE_CONT",
    "PERCENTILE_CONT": "QUANTILE_CONT",
    "PERCENTILE_DISC": "QUANTILE_DISC",
    "ARG_MIN": "MIN_BY",
    "ARG_MAX": "MAX_BY",
    "ARGMIN": "MIN_BY",
    "ARGMAX": "MAX_BY",
    "STRING_AGG": "GROUP_CONCAT",
    "LISTAGG": "GROUP_CONCAT",
    "EVERY": "BOOL_AND",
}
AGGREGATE_NAMES: Final = (*FORMS, *_ALIASES, "STDDEV")


def aggregate_named(name: str, lang: str) -> Form | None:
    """The aggregate a name means; STDDEV and VARIANCE are of the population in MySQL, of a sample in DuckDB."""
    wanted = name.upper()
    if wanted in ("STDDEV", "VARIANCE") and lang != "adql":
        kind = "SAMP" if lang == "duckdb" else "POP"
        return FORMS[f"{'VAR' if wanted == 'VARIANCE' else 'STDDEV'}_{kind}"]
    if wanted in ("STDDEV", "VARIANCE"):
        return FORMS["STDDEV_POP" if wanted == "STDDEV" else "VAR_POP"]
    if wanted == "FIRST" and lang != "duckdb":
        return None
    return FORMS.get(_ALIASES.get(wanted, wanted))


def bind_aggregate(
    self: Binder, node: Any, form: Form, order: Sequence[Order] = (), condition: Expression | None = None
) -> Aggregate:
    """The call of an aggregate. Raises bad-query, bad-argument, type-mismatch, not-supported."""
    if self.inside_aggregate:
        raise self.error(node, "bad-query", f"{form.name} stands inside another aggregate.")
    if not self.aggregates:
        hint = "Use HAVING to filter groups." if self.clause == "WHERE" else ""
        raise self.error(node, "bad-query", f"The aggregate {form.name} cannot stand in {self.clause}.", hint)
    distinct, arguments = aggregate_arguments(self.within_aggregate(), node, form)
    if condition is not None:
        arguments = _where(self, node, form, arguments, condition)
    if not arguments:
        return Aggregate(type="BIGINT", function="COUNT", arguments=())
    if op.collation_of(*arguments) == "ci":
        return _without_case(form, arguments, distinct)
    if distinct and form.name in ("MIN", "MAX", "MIN_BY", "MAX_BY", "FIRST", "ANY_VALUE", "BIT_AND", "BIT_OR"):
        distinct = False
    return Aggregate(
        type=result_type(form, arguments),
        function=form.name,
        arguments=tuple(arguments),
        distinct=distinct,
        order_by=tuple(order),
    )


def _where(self: Binder, node: Any, form: Form, arguments: list[Expression], condition: Expression) -> list[Expression]:
    """FILTER (WHERE ...): what fails it is NULL, which aggregates leave out."""
    if form.name == "FIRST":
        raise self.error(node, "not-supported", "FILTER after FIRST is not supported; use ANY_VALUE.")
    at = 1 if form.name in ("MIN_BY", "MAX_BY") else 0
    value = arguments[at] if arguments else Literal_(type="INTEGER", value=1)
    chosen = Case(type=value.type, branches=((condition, value),), otherwise=None)
    return [*arguments[:at], chosen, *arguments[at + 1 :]]


def _without_case(form: Form, arguments: list[Expression], distinct: bool) -> Aggregate:
    """Aggregates of text that ignores case: distinct values are folded, the smallest is found without case."""
    folded = tuple(Call(type="VARCHAR", function="LOWER", arguments=(a,)) if is_text(a.type) else a for a in arguments)
    if form.name in ("MIN", "MAX"):
        return Aggregate(type="VARCHAR", function=f"{form.name}_BY", arguments=(arguments[0], folded[0]))
    given = folded if distinct or form.name == "MODE" else tuple(arguments)
    return Aggregate(type=result_type(form, arguments), function=form.name, arguments=given, distinct=distinct)


def aggregate_arguments(inner: Binder, node: Any, form: Form) -> tuple[bool, list[Expression]]:
    """Whether DISTINCT was said, and the arguments; none for COUNT(*)."""
    given = list(node.expressions)
    if len(given) == 1 and isinstance(given[0], exp.Star):
        if form.name != "COUNT":
            raise inner.error(node, "bad-argument", f"{form.name}(*) has no meaning.")
        return False, []
    distinct = bool(given) and isinstance(given[0], exp.Distinct)
    if distinct:
        given = [*given[0].expressions, *given[1:]]
    arguments = [op.as_value(inner.bind(argument)) for argument in given]
    if form.name == "COUNT" and not given and inner.parsed.lang == "duckdb":
        return False, []
    if form.name == "GROUP_CONCAT" and len(arguments) == 1:
        arguments.append(Literal_(type="VARCHAR", value=","))
    many = form.name == "COUNT" and distinct and len(arguments) > 1
    if not arguments or (len(arguments) != len(form.takes) and not many):
        wanted = f"{len(form.takes)} argument{'s' if len(form.takes) > 1 else ''}"
        raise inner.error(node, "bad-argument", f"{form.name} takes {wanted}, not {len(arguments)}.")
    if many:
        return True, arguments
    return distinct, [_argument(inner, node, form, at, argument) for at, argument in enumerate(arguments)]


def _argument(self: Binder, node: Any, form: Form, at: int, argument: Expression) -> Expression:
    letter = form.takes[at]
    kind = argument.type
    if letter == "n":
        if not (is_number(kind) or kind in ("BOOLEAN", NULL)):
            raise self.error(node, "type-mismatch", f"{form.name} needs a number, not {family(kind)}.")
        number = op.to_number(argument, form.name)
        return number if form.name in ("SUM", "AVG") else op.cast(number, "DOUBLE")
    if letter == "q":
        share = argument.value if isinstance(argument, Literal_) else None
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise self.error(
                node, "bad-argument", f"{form.name} needs a constant between 0 and 1 as its second argument."
            )
        return op.cast(argument, "DOUBLE")
    if letter == "i" and is_float(kind) and self.parsed.lang == "mysql":
        return op.cast(argument, "BIGINT")
    if letter == "i" and not (is_exact(kind) or kind in ("BOOLEAN", NULL)):
        raise self.error(node, "type-mismatch", f"{form.name} needs an integer, not {family(kind)}.")
    if letter == "b":
        return op.to_predicate(argument)
    if letter == "s" and not is_text(kind):
        return op.cast(argument, "VARCHAR")
    return argument


def result_type(form: Form, arguments: Sequence[Expression]) -> str:
    """The type of an aggregate of these arguments."""
    if form.result not in ("sum", "first"):
        return form.result
    kind = arguments[0].type
    if kind == NULL:
        return "DOUBLE" if form.result == "sum" else "INTEGER"
    return sum_type(kind) if form.result == "sum" else kind
