"""Text to syntax tree: one SELECT, within its limits, in one of three languages. Pure; bind makes sense of the tree.

What is not a single SELECT is refused here. `t AS OF REVISION n` is taken out of the tokens before sqlglot sees them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Final

from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.sql.clauses import check_clauses
from qsky.sql.dialect import ITEM_START, LANGS, TITLES, Lang, PlacedError, tokenize, tree_of
from qsky.sql.query import Place
from qsky.sql.reserved import RESERVED
from qsky.sql.variables import inline_variables

# sqlglot takes some 25 Python calls for one pair of parentheses; they are no C calls, so the stack does not grow.
_FRAMES_PER_LEVEL: Final = 40
_PREFIXES: Final = frozenset({TokenType.NOT, TokenType.DASH, TokenType.TILDE, TokenType.PLUS})
_NEAR_CHARACTERS: Final = 30
# Operators that sqlglot reads in every dialect and that a language does not have.
_FOREIGN: Final[dict[str, frozenset[str]]] = {
    "mysql": frozenset({"==", "::", "[", "**", "^="}),
    "adql": frozenset(
        {"==", "::", "[", "{", "**", "^=", "%", "<=>", "&&", "//", ":=", "!", "`", "#", "@", "->", "->>"}
    ),
    "duckdb": frozenset(),
}
# Constructs of the other languages, and what their users call them.
_NOT_ADQL: Final[dict[type[Any], str]] = {
    exp.IntDiv: "DIV",
    exp.RegexpLike: "REGEXP or RLIKE",
    exp.Glob: "GLOB",
    exp.SimilarTo: "SIMILAR TO",
    exp.Tuple: "rows of values",
    exp.Lock: "FOR UPDATE or FOR SHARE",
    exp.BitwiseLeftShift: "operator <<",
    exp.BitwiseRightShift: "operator >>",
}
# Words that ADQL reserves, so that they are no names, and gives no meaning.
_WORDS_NOT_ADQL: Final = frozenset({"COLLATE", "FETCH", "INTERVAL"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Parsed:
    """A query as a tree. `revisions` maps the end of a table's name in the text to the revision asked for."""

    text: str
    lang: Lang
    tree: exp.Query
    revisions: Mapping[int, int] = field(default_factory=dict)

    def place(self, node: Any) -> Place:
        """Where the node begins in the text; 1, 1 for a node that was not in it."""
        starts: list[int] = []
        while node is not None and not starts:
            starts = [n.meta[key] for n in node.walk() for key in ("start", ITEM_START) if key in n.meta]
            node = node.parent
        return place_at(self.text, min(starts, default=0))

    def error(self, node: Any, code: str, sentence: str, hint: str = "") -> QskyError:
        """An error about a node, with its place."""
        place = self.place(node)
        return QskyError(code, sentence, hint=hint, line=place.line, column=place.column)


def place_at(text: str, offset: int) -> Place:
    """Line and column of a character, both counted from 1."""
    before = text[:offset]
    return Place(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def parse(text: str, lang: str, settings: Settings) -> Parsed:
    """The tree of a text that is exactly one query.

    Raises limit-text, syntax, not-supported, usage (for an unknown language).
    """
    known = _known(lang)
    if len(text.encode()) > settings.sql_bytes_max:
        raise QskyError(
            "limit-text",
            f"The query is longer than {settings.sql_bytes_max} bytes.",
            hint="Shorten it, or raise QSKY_SQL_BYTES_MAX; long lists are better loaded as a table and joined.",
        )
    found = _tokens(text, known)
    if known == "mysql":
        found = inline_variables(found, settings.sql_bytes_max, partial(_fail, text))
    found = _one_statement(found, text, known)
    _check_size(found, text, settings)
    _check_comments(found, text, known)
    _check_operators(found, text, known)
    check_clauses(found, partial(_fail, text))
    _check_depth(found, text, settings.sql_depth_max)
    found, revisions = _take_revisions(found)
    trees = _trees(found, text, known, settings.sql_depth_max)
    tree = _select(trees, text, known, settings.sql_depth_max)
    _check_width(tree, text, settings)
    parsed = Parsed(text, known, tree, revisions)
    if known == "adql":
        _check_reserved(parsed)
        _check_constructs(parsed)
    return parsed


def _check_reserved(parsed: Parsed) -> None:
    """A reserved word is a name only in double quotes."""
    for node in parsed.tree.find_all(exp.Identifier):
        if node.name.upper() in RESERVED and not node.quoted:
            hint = f'Write it in double quotes: "{node.name}".'
            raise parsed.error(node, "syntax", f"{node.name} is a reserved word of ADQL and cannot be a name.", hint)


def _check_constructs(parsed: Parsed) -> None:
    """Refuse what sqlglot reads in every dialect and ADQL does not have."""
    for node in parsed.tree.walk():
        foreign = _NOT_ADQL.get(type(node))
        if isinstance(node, exp.Join) and (node.kind in ("SEMI", "ANTI") or "STRAIGHT" in node.kind):
            foreign = f"{node.kind} JOIN" if "STRAIGHT" not in node.kind else "STRAIGHT_JOIN"
        if foreign:
            raise parsed.error(node, "syntax", f"ADQL has no {foreign}.")


def _known(lang: str) -> Lang:
    for known in LANGS:
        if lang.lower() == known:
            return known
    raise QskyError("usage", f"{lang!r} is not a query language.", hint=f"Known: {', '.join(LANGS)}.")


def _fail(text: str, offset: int, code: str, sentence: str, hint: str = "") -> QskyError:
    place = place_at(text, offset)
    return QskyError(code, sentence, hint=hint, line=place.line, column=place.column)


def _near(text: str, offset: int) -> str:
    """The words at a place, short enough to quote."""
    found = " ".join(text[offset : offset + 4 * _NEAR_CHARACTERS].split())
    if not found:
        return "its end"
    return f'"{found[:_NEAR_CHARACTERS]}{"..." if len(found) > _NEAR_CHARACTERS else ""}"'


def _tokens(text: str, lang: Lang) -> list[Token]:
    try:
        return tokenize(text, lang)
    except (TokenError, ValueError) as error:
        raise _unreadable(str(error.__cause__ or error), text, lang) from None


def _unreadable(said: str, text: str, lang: Lang) -> QskyError:
    """What a tokenizer's message means for the user."""
    found = re.search(r"Missing (.+) from \d+:(\d+)", said)
    if found is None and text.rfind("/*") > text.rfind("*/"):
        sentence = f"The query is not valid {TITLES[lang]}: the comment here is never closed."
        return _fail(text, text.rfind("/*"), "syntax", sentence)
    if found is None:
        return QskyError("syntax", f"The query is not valid {TITLES[lang]}: it cannot be read.")
    sentence = f"The query is not valid {TITLES[lang]}: the {found[1]} here is never closed."
    return _fail(text, int(found[2]), "syntax", sentence)


def _one_statement(found: list[Token], text: str, lang: Lang) -> list[Token]:
    """The tokens without the semicolon at the end; anything but one SELECT is refused."""
    while found and found[-1].token_type is TokenType.SEMICOLON:
        found = found[:-1]
    if not found:
        raise QskyError("syntax", "The query is empty.")
    for at, token in enumerate(found):
        if token.token_type is TokenType.SEMICOLON:
            raise _fail(text, found[at + 1].start, "not-supported", "Only one statement can be answered at a time.")
    first = found[0]
    opens = first.token_type in (TokenType.L_PAREN, TokenType.WITH) or (
        lang == "duckdb" and first.token_type is TokenType.FROM
    )
    if first.token_type is not TokenType.SELECT and not opens:
        raise _fail(
            text,
            first.start,
            "not-supported",
            f"Qsky answers SELECT statements; {first.text.upper()} is not supported.",
        )
    return found


def _check_size(found: list[Token], text: str, settings: Settings) -> None:
    """Each word costs the binder a while, and each row of an answer may carry each constant."""
    most = settings.sql_tokens_max
    if len(found) > most:
        hint = "Load long lists as a table and join it, or raise QSKY_SQL_TOKENS_MAX."
        sentence = f"The query has {len(found)} words and signs, and may have {most}."
        raise _fail(text, found[most].start, "limit-text", sentence, hint)
    longest = settings.sql_constant_bytes_max
    for token in found:
        if token.end - token.start > longest and len(token.text.encode()) > longest:
            hint = "Shorten it, or raise QSKY_SQL_CONSTANT_BYTES_MAX."
            raise _fail(text, token.start, "limit-text", f"This constant is longer than {longest} bytes.", hint)


def _check_width(tree: exp.Select, text: str, settings: Settings) -> None:
    """Columns and tables cost more than words."""
    for select in tree.find_all(exp.Select):
        if len(select.expressions) > settings.sql_columns_max:
            sentence = f"A SELECT shows {len(select.expressions)} columns, and may show {settings.sql_columns_max}."
            raise _fail(text, 0, "limit-text", sentence, "Raise QSKY_SQL_COLUMNS_MAX if this is meant.")
    tables = sum(1 for _ in tree.find_all(exp.Table))
    if tables > settings.sql_tables_max:
        sentence = f"The query names {tables} tables, and may name {settings.sql_tables_max}."
        raise _fail(text, 0, "limit-text", sentence, "Raise QSKY_SQL_TABLES_MAX if this is meant.")


def _check_comments(found: list[Token], text: str, lang: Lang) -> None:
    """MySQL runs what stands in such a comment; leaving it out would be another query."""
    if lang != "mysql":
        return
    for token in found:
        if any(comment.startswith(("!", "M!")) for comment in token.comments):
            sentence = "A comment that MySQL would run, /*! ... */, is not supported."
            raise _fail(text, token.start, "not-supported", sentence, "Write its text without the comment.")


def _check_operators(found: list[Token], text: str, lang: Lang) -> None:
    for token in found:
        if token.token_type is TokenType.INTO:
            raise _fail(text, token.start, "not-supported", "INTO is not supported: a SELECT writes nothing.")
        if token.text in _FOREIGN[lang] and token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER):
            raise _fail(text, token.start, "syntax", f"{TITLES[lang]} has no operator {token.text}.")
        if lang == "adql":
            _check_word(token, text)
    for token, following in pairwise(found):
        _check_neighbours(token, following, text, lang)
        if lang == "adql":
            _check_adql_neighbours(token, following, text)


def _check_word(token: Token, text: str) -> None:
    """Refuse a word that ADQL's alphabet does not spell, or that it reserves for nothing."""
    if token.token_type is TokenType.VAR and not _NAME.fullmatch(token.text):
        hint = "Names are letters, digits and underscores, or anything in double quotes."
        raise _fail(text, token.start, "syntax", f"{token.text} is no name in ADQL.", hint)
    if token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER) and token.text.upper() in _WORDS_NOT_ADQL:
        raise _fail(text, token.start, "syntax", f"ADQL has no {token.text.upper()}.")


def _check_adql_neighbours(token: Token, following: Token, text: str) -> None:
    """Refuse a text where a name belongs, and a number that runs into a name."""
    kinds = (token.token_type, following.token_type)
    named = (TokenType.VAR, TokenType.IDENTIFIER, TokenType.ALIAS, TokenType.FROM, TokenType.JOIN, TokenType.R_PAREN)
    if kinds[0] in named and kinds[1] is TokenType.STRING:
        hint = f'Names stand in double quotes: "{following.text}".'
        raise _fail(text, following.start, "syntax", "A text in single quotes cannot stand here.", hint)
    if kinds[0] is TokenType.USING and kinds[1] is not TokenType.L_PAREN:
        raise _fail(text, following.start, "syntax", "USING needs names of columns in parentheses.")
    unquoted = kinds[0] not in (TokenType.STRING, TokenType.IDENTIFIER)
    if unquoted and token.text.upper() == "MOD" and kinds[1] is not TokenType.L_PAREN:
        raise _fail(text, token.start, "syntax", "ADQL has no operator MOD.", "Write MOD(x, y).")
    if kinds == (TokenType.NUMBER, TokenType.VAR) and token.end + 1 == following.start:
        raise _fail(text, token.start, "syntax", f"{token.text}{following.text} is not a number.")


def _check_neighbours(token: Token, following: Token, text: str, lang: Lang) -> None:
    """Refuse what only its neighbour shows: a number in two pieces, a name in the place of a value."""
    kinds = (token.token_type, following.token_type)
    if kinds == (TokenType.NUMBER, TokenType.DOT):
        said = f"near {_near(text, token.start)}: the number ends here"
        raise _fail(text, following.start, "syntax", f"The query is not valid {TITLES[lang]} {said}.")
    touching = token.end + 1 == following.start and following.text.isidentifier()
    named = lang != "duckdb" and kinds[0] is TokenType.COLON and touching
    if named or following.token_type is TokenType.PLACEHOLDER:
        name = f":{following.text}" if named else following.text
        place = token.start if named else following.start
        raise _fail(text, place, "not-supported", f"{name} stands for a value; write the value itself.")


def _check_depth(found: list[Token], text: str, depth_max: int) -> None:
    """Refuse what would nest too deeply before anything recurses into it."""
    depth = run = 0
    for token in found:
        kind = token.token_type
        run = run + 1 if kind in _PREFIXES else 0
        if kind in (TokenType.L_PAREN, TokenType.CASE):
            depth += 1
        elif kind in (TokenType.R_PAREN, TokenType.END):
            depth = max(0, depth - 1)
        if depth + run > depth_max:
            raise _too_deep(text, token.start, depth_max)


def _too_deep(text: str, offset: int, depth_max: int) -> QskyError:
    hint = "Use fewer nested parentheses or shorter chains of operators; long lists belong into IN (...)."
    return _fail(text, offset, "limit-text", f"The query nests more than {depth_max} deep.", hint)


def _take_revisions(found: list[Token]) -> tuple[list[Token], dict[int, int]]:
    """The tokens without each `AS OF REVISION n`, and n by the end of the token before it."""
    kept: list[Token] = []
    revisions: dict[int, int] = {}
    at = 0
    while at < len(found):
        words = [t.text.upper() for t in found[at : at + 3]]
        number = found[at + 3] if at + 3 < len(found) else None
        if kept and words == ["AS", "OF", "REVISION"] and number is not None and number.text.isdecimal():
            revisions[kept[-1].end] = int(number.text)
            at += 4
            continue
        kept.append(found[at])
        at += 1
    return kept, revisions


def _trees(found: list[Token], text: str, lang: Lang, depth_max: int) -> list[exp.Expression | None]:
    needed = 1000 + _FRAMES_PER_LEVEL * depth_max
    if sys.getrecursionlimit() < needed:
        sys.setrecursionlimit(needed)
    try:
        return tree_of(found, text, lang)
    except PlacedError as error:
        said = f"near {_near(text, error.offset)}: {_reason(str(error))}"
        raise _fail(text, error.offset, "syntax", f"The query is not valid {TITLES[lang]} {said}.") from None
    except ParseError as error:
        raise QskyError("syntax", f"The query is not valid {TITLES[lang]}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise _too_deep(text, 0, depth_max) from None


def _reason(said: str) -> str:
    """sqlglot's complaint in our words."""
    if said.startswith("Required keyword"):
        return "something is missing"
    if said.startswith("Expected table name"):
        return "expected the name of a table"
    if said.startswith("Invalid expression"):
        return "something else was expected"
    said = said.removesuffix(".")
    return said if said[:2].isupper() else said[:1].lower() + said[1:]


def _select(trees: list[exp.Expression | None], text: str, lang: Lang, depth_max: int) -> exp.Query:
    tree = trees[0] if trees else None
    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery) or len(trees) != 1:
        raise _fail(text, 0, "not-supported", "Qsky answers SELECT; this statement is not one.")
    deep = _first_below(tree, depth_max)
    if deep is not None:
        raise _too_deep(text, min((n.meta["start"] for n in deep.walk() if "start" in n.meta), default=0), depth_max)
    return tree


def _first_below(tree: exp.Expression, depth_max: int) -> exp.Expression | None:
    """A node nested too deeply, if there is one. A chain of AND or of OR counts once: bind balances it."""
    todo: list[tuple[Any, int]] = [(tree, 0)]
    while todo:
        node, depth = todo.pop()
        if depth > depth_max:
            found: exp.Expression = node
            return found
        for child in node.iter_expressions():
            chained = isinstance(child, exp.And | exp.Or) and type(child) is type(node)
            flat = chained or isinstance(child, exp.Identifier | exp.Paren | exp.If)
            todo.append((child, depth if flat else depth + 1))
    return None
