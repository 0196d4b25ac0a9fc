"""The three languages as sqlglot reads them, with everything taken out that would decide the meaning of a text for us.

sql.parse alone uses this. A function call of any name stays a plain call (`exp.Anonymous`), so that names, arity and
meaning are settled in sql.functions and nowhere else; each item of a SELECT remembers its text; errors keep their place.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from sqlglot import exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import ParseError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.parsers.mysql import MySQLParser
from sqlglot.tokens import Token, TokenType

Lang = Literal["mysql", "adql", "duckdb"]
LANGS: Final[tuple[Lang, ...]] = ("mysql", "adql", "duckdb")
TITLES: Final = {"mysql": "MySQL", "adql": "ADQL", "duckdb": "DuckDB SQL"}

ITEM_START: Final = "qsky_start"
ITEM_END: Final = "qsky_end"
COMMA: Final = "qsky_comma"


class PlacedError(ParseError):  # type: ignore[misc]
    """A syntax error that knows the character it is about; sqlglot backtracks on its own kind of error only."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message, [{"description": message}])  # sqlglot adds to the first where it tries another way
        self.offset = offset


def _cast(reader: Any) -> Any:
    return reader._parse_cast(True)


def _case(reader: Any) -> Any:
    return reader._parse_case()


class GroupConcat(exp.Expression):  # type: ignore[misc]
    """GROUP_CONCAT with what may stand in its parentheses: the arguments (the separator last), and an order."""

    arg_types = {"expressions": True, "order": False}

    @property
    def name(self) -> str:
        return "GROUP_CONCAT"


def _group_concat(reader: Any) -> Any:
    """GROUP_CONCAT([DISTINCT] a [, ...] [ORDER BY ...] [SEPARATOR ','])."""
    distinct = reader._match(TokenType.DISTINCT)
    given = reader._parse_csv(reader._parse_disjunction)
    if len(given) > 1:
        given = [exp.Anonymous(this="CONCAT", expressions=given)]
    order = reader._parse_order()
    separator = None
    if reader._match_text_seq("SEPARATOR"):
        separator = reader._parse_string()
        if separator is None:
            reader.raise_error("Expecting a text after SEPARATOR")
    if distinct:
        given = [exp.Distinct(expressions=given)]
    expressions = [*given, separator] if separator is not None else given
    return reader.expression(GroupConcat(expressions=expressions, order=order.expressions if order else None))


def _call(name: str, *arguments: Any) -> Any:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _extract(reader: Any) -> Any:
    """EXTRACT(unit FROM x) is the function of the unit."""
    unit = reader._parse_var(any_token=True)
    if unit is None or not reader._match(TokenType.FROM):
        reader.raise_error("Expecting EXTRACT(unit FROM value)")
    return _call(unit.name, reader._parse_bitwise())


def _trim(reader: Any) -> Any:
    """TRIM([BOTH | LEADING | TRAILING] [x] FROM s), TRIM(s)."""
    side = next((word for word in ("BOTH", "LEADING", "TRAILING") if reader._match_text_seq(word)), "")
    first = None if reader._match(TokenType.FROM) else reader._parse_bitwise()
    if first is not None and not reader._match(TokenType.FROM):
        if side:
            reader.raise_error("Expecting FROM")
        rest = [reader._parse_bitwise()] if reader._match(TokenType.COMMA) else []
        return _call("TRIM", first, *rest)
    text = reader._parse_bitwise()
    if first is None:
        return _call({"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(side, "TRIM"), text)
    return _call(f"TRIM_{side or 'BOTH'}", text, first)


def _substring(reader: Any) -> Any:
    """SUBSTRING(s FROM n [FOR m]), SUBSTRING(s, n[, m])."""
    found = reader._parse_csv(reader._parse_bitwise)
    if reader._match(TokenType.FROM):
        found.append(reader._parse_bitwise())
        if reader._match(TokenType.FOR):
            found.append(reader._parse_bitwise())
    return _call("SUBSTRING", *found)


def _convert(reader: Any) -> Any:
    """CONVERT(x, type) is a CAST; CONVERT(x USING set) is x, all text being UTF-8."""
    this = reader._parse_assignment()
    if reader._match(TokenType.USING):
        if not (reader._parse_var(any_token=True) or exp.Var(this="")).name.lower().startswith("utf8"):
            reader.raise_error("Only the character set utf8 is supported")
        return this
    if not reader._match(TokenType.COMMA):
        reader.raise_error("Expecting CONVERT(value, type)")
    return reader.expression(exp.Cast(this=this, to=reader._parse_types()))


_WORDS: Final = {
    "CAST": _cast,
    "EXTRACT": _extract,
    "TRIM": _trim,
    "SUBSTRING": _substring,
    "SUBSTR": _substring,
    "GROUP_CONCAT": _group_concat,
}


def _string_agg(reader: Any) -> Any:
    """STRING_AGG([DISTINCT] a, separator [ORDER BY ...]), and DuckDB's other names of it."""
    distinct = reader._match(TokenType.DISTINCT)
    given = reader._parse_csv(reader._parse_disjunction)
    order = reader._parse_order()
    if distinct:
        given = [exp.Distinct(expressions=given[:1]), *given[1:]]
    if order is None:
        return reader.expression(exp.Anonymous(this="STRING_AGG", expressions=given))
    return reader.expression(GroupConcat(expressions=given, order=order.expressions))


_CLOCK: Final = {
    TokenType.CURRENT_DATE: lambda: _call("CURRENT_DATE"),
    TokenType.CURRENT_TIME: lambda: _call("CURRENT_TIME"),
    TokenType.CURRENT_TIMESTAMP: lambda: _call("CURRENT_TIMESTAMP"),
}


class _Strict(parser.Parser):  # type: ignore[misc]
    """What the three parsers share."""

    FUNCTIONS: Any = {}
    FUNCTION_PARSERS: Any = _WORDS
    NO_PAREN_FUNCTIONS: Any = _CLOCK
    NO_PAREN_FUNCTION_PARSERS: Any = {"CASE": _case}
    FUNC_TOKENS: Any = parser.Parser.FUNC_TOKENS | {TokenType.MOD, TokenType.TRUNCATE, TokenType.YEAR}

    def raise_error(self, message: str, token: Any = None) -> None:
        at = token or self._curr or self._prev
        raise PlacedError(message, at.start if at else 0)

    def _parse_projections(self) -> Any:
        return self._parse_csv(self._parse_item), None

    def _parse_item(self) -> Any:
        first = self._curr
        item = self._parse_expression()
        if item is not None and first:
            item.meta[ITEM_START], item.meta[ITEM_END] = first.start, self._prev.end + 1
        return item

    def _parse_join(self, *arguments: Any, **named: Any) -> Any:
        comma = self._match(TokenType.COMMA, advance=False)
        join = super()._parse_join(*arguments, **named)
        if join is not None:
            join.meta[COMMA] = bool(comma)
        return join

    def _parse_csv(self, parse_method: Any, sep: Any = TokenType.COMMA) -> Any:
        """As sqlglot's, but a separator must be followed by something."""
        found = [parse_method()]
        while self._match(sep):
            found.append(parse_method())
            if found[-1] is None:
                self.raise_error("Expecting an expression")
        return [each for each in found if each is not None]

    def _parse_between(self, this: Any) -> Any:
        """sqlglot does not mind a missing AND; SQL does."""
        if self._match_text_seq("SYMMETRIC") or self._match_text_seq("ASYMMETRIC"):
            self.raise_error("SYMMETRIC is not supported", self._prev)
        low = self._parse_bitwise()
        if not self._match(TokenType.AND):
            self.raise_error("Expecting AND")
        return self.expression(exp.Between(this=this, low=low, high=self._parse_bitwise()))


class _MySQLParser(_Strict, MySQLParser):  # type: ignore[misc]
    FUNCTIONS: Any = {}
    FUNCTION_PARSERS: Any = {**_WORDS, "CONVERT": _convert}
    NO_PAREN_FUNCTIONS: Any = _CLOCK
    NO_PAREN_FUNCTION_PARSERS: Any = _Strict.NO_PAREN_FUNCTION_PARSERS
    FUNC_TOKENS: Any = MySQLParser.FUNC_TOKENS | _Strict.FUNC_TOKENS


class _DuckDBParser(_Strict, DuckDBParser):  # type: ignore[misc]
    FUNCTIONS: Any = {}
    FUNCTION_PARSERS: Any = {**_WORDS, **dict.fromkeys(("STRING_AGG", "LISTAGG", "GROUP_CONCAT"), _string_agg)}
    NO_PAREN_FUNCTIONS: Any = _CLOCK
    NO_PAREN_FUNCTION_PARSERS: Any = _Strict.NO_PAREN_FUNCTION_PARSERS
    FUNC_TOKENS: Any = DuckDBParser.FUNC_TOKENS | _Strict.FUNC_TOKENS


class QskyMySQL(MySQL):  # type: ignore[misc]
    """MySQL; NULLs sort as the smallest values."""

    NULL_ORDERING = "nulls_are_small"
    Parser = _MySQLParser


class QskyDuckDB(DuckDB):  # type: ignore[misc]
    """DuckDB's own SQL."""

    Parser = _DuckDBParser


class QskyADQL(Dialect):  # type: ignore[misc]
    """ADQL: SQL-92 with TOP, quoted names and geometry as functions."""

    NULL_ORDERING = "nulls_are_small"

    class Tokenizer(tokens.Tokenizer):  # type: ignore[misc]
        QUOTES = ["'"]
        IDENTIFIERS = ['"']
        STRING_ESCAPES = ["'"]
        HEX_STRINGS = [("0x", ""), ("0X", "")]
        COMMENTS = ["--", ("/*", "*/")]
        KEYWORDS = {**tokens.Tokenizer.KEYWORDS, "TOP": TokenType.TOP}

    Parser = _Strict


_DIALECTS: Final[dict[str, type[Dialect]]] = {"mysql": QskyMySQL, "adql": QskyADQL, "duckdb": QskyDuckDB}


def tokenize(text: str, lang: Lang) -> list[Token]:
    """The tokens of a text; sqlglot's TokenError comes through."""
    found: list[Token] = _DIALECTS[lang]().tokenize(text)
    return found


def tree_of(found: list[Token], text: str, lang: Lang) -> list[exp.Expression | None]:
    """The trees of the statements in a list of tokens; raises PlacedError."""
    trees: list[exp.Expression | None] = _DIALECTS[lang]().parser().parse(found, text)
    return trees
