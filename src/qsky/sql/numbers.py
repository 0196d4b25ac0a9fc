"""Functions of numbers, of truth values and of choice, as data for `sql.functions`."""

from __future__ import annotations

from typing import Final

from qsky.sql.signature import Function, double, finite, when


def _rounding(name: str, signature: str, text: str) -> Function:
    digits = "CAST({1:0} AS INTEGER)"
    floating, exact = (f"{text}(CAST({{0}} AS {kind}), {digits})" for kind in ("DOUBLE", "BIGINT"))
    return Function(name, signature, "whole", floating, exact)


MATHS: Final = (
    Function("ABS", "n", "whole", "abs(CAST({0} AS DOUBLE))", "abs(CAST({0} AS BIGINT))"),
    Function("SIGN", "n", "INTEGER", "CAST(sign({0}) AS INTEGER)"),
    Function("FLOOR", "n", "whole", "floor(CAST({0} AS DOUBLE))", "CAST({0} AS BIGINT)"),
    Function("CEIL", "n", "whole", "ceil(CAST({0} AS DOUBLE))", "CAST({0} AS BIGINT)"),
    _rounding("ROUND", "n?i", "round"),
    _rounding("ROUND_EVEN", "n?i", "round_even"),
    # of a decimal with a scale, to constant digits: in decimal arithmetic
    double("ROUND_DECIMAL", "CAST(round({0}, CAST({1:0} AS INTEGER)) AS DOUBLE)", "n?i"),
    double("TRUNCATE_DECIMAL", "CAST(trunc({0}, CAST({1:0} AS INTEGER)) AS DOUBLE)", "n?i"),
    _rounding("TRUNCATE", "n?i", "trunc"),
    double("SQRT", when("{0} >= 0", "sqrt({0})")),
    double("CBRT", "cbrt({0})"),
    double("EXP", finite("exp({0})")),
    double("LN", when("{0} > 0", "ln({0})")),
    double("LOG10", when("{0} > 0", "log10({0})")),
    double("LOG2", when("{0} > 0", "log2({0})")),
    double("LOG", when("{0} > 0 AND {0} <> 1 AND {1} > 0", "ln({1}) / ln({0})"), "nn"),
    double("POW", when("isfinite(pow({0}, {1}))", "pow({0}, {1})"), "nn"),
    double("SIN", "sin({0})"),
    double("COS", "cos({0})"),
    double("TAN", "tan({0})"),
    double("COT", when("{0} <> 0", "1 / tan({0})")),
    double("ASIN", when("{0} BETWEEN -1 AND 1", "asin({0})")),
    double("ACOS", when("{0} BETWEEN -1 AND 1", "acos({0})")),
    double("ATAN", "atan({0})"),
    double("ATAN2", "atan2({0}, {1})", "nn"),
    double("SINH", finite("sinh({0})")),
    double("COSH", finite("cosh({0})")),
    double("TANH", "tanh({0})"),
    double("RADIANS", "radians({0})"),
    double("DEGREES", "degrees({0})"),
    double("PI", "pi()", ""),
    # printed of a seed and the columns that make a row's identity, see sql.special
    double("RAND", "(CAST(hash({*}) >> 11 AS DOUBLE) / 9007199254740992e0)", "i*a"),
    Function("CRC32", "s", "BIGINT", "qsky_crc32({0})"),
)

CHOICE: Final = (
    Function("COALESCE", "a*a", "same", "coalesce({*})"),
    # bound as CASE, so that it compares as = does
    Function("NULLIF", "aa", "first", ""),
    Function("GREATEST", "aa*a", "same", "CASE WHEN {nulls} THEN NULL ELSE greatest({*}) END"),
    Function("LEAST", "aa*a", "same", "CASE WHEN {nulls} THEN NULL ELSE least({*}) END"),
    Function("GREATEST_KNOWN", "a*a", "same", "greatest({*})"),
    Function("LEAST_KNOWN", "a*a", "same", "least({*})"),
)

_TOO_FAR: Final = "{1} < 0 OR {1} > 63"
BITS: Final = (
    # for operators.in_any_case
    Function("ANY_CASE", "a", "first", "{0}"),
    Function("UNSIGNED_OF_DECIMAL", "n", "HUGEINT", "greatest(CAST({0} AS HUGEINT), 0) + CAST({0} * 0 AS HUGEINT)"),
    Function("UNSIGNED", "n", "HUGEINT", "CASE WHEN {0} < 0 THEN {0} + 18446744073709551616 ELSE {0} END"),
    # as MySQL makes 64 bits of a DOUBLE
    Function(
        "ROUND_TO_BITS",
        "n",
        "HUGEINT",
        "CASE WHEN {0} >= 18446744073709551615 THEN 18446744073709551615 "
        "WHEN {0} <= -9223372036854775808 THEN -9223372036854775808 ELSE CAST(round({0}) AS HUGEINT) END",
    ),
    # What is pushed out is lost; masked before, because DuckDB refuses a shift that loses something.
    Function(
        "SHIFT_LEFT",
        "ii",
        "HUGEINT",
        f"CASE WHEN {_TOO_FAR} THEN {{0}} * 0 "
        "ELSE ({0} & (CAST(18446744073709551615 AS HUGEINT) >> {1})) << {1} END",
    ),
    Function("SHIFT_RIGHT", "ii", "HUGEINT", f"CASE WHEN {_TOO_FAR} THEN {{0}} * 0 ELSE {{0}} >> {{1}} END"),
    Function("BIT_COUNT", "i", "BIGINT", "bit_count(CAST({0} AS BIGINT))"),
    Function("BITWISE_AND", "ii", "BIGINT", "(CAST({0} AS BIGINT) & CAST({1} AS BIGINT))"),
    Function("BITWISE_OR", "ii", "BIGINT", "(CAST({0} AS BIGINT) | CAST({1} AS BIGINT))"),
    Function("BITWISE_XOR", "ii", "BIGINT", "xor(CAST({0} AS BIGINT), CAST({1} AS BIGINT))"),
    Function("BITWISE_NOT", "i", "BIGINT", "(~ CAST({0} AS BIGINT))"),
)
