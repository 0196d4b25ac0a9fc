"""`SET @name = ...;` in front of a query: constants under a name, put into the query's tokens where they are used.

MySQL's users write the polygon of a search once and test it often. `parse` calls this; a variable lives as long as its
query, nothing is kept. It must never let a variable hold what is not the same wherever it is put: no column, no
sub-query, no random number. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from sqlglot.tokens import Token, TokenType

from qsky.errors import QskyError

Fail = Callable[[int, str, str, str], QskyError]

_HINT: Final = "A variable holds a constant: SET @radius = 2.5;"
_WORDS: Final = frozenset({
    TokenType.NULL, TokenType.TRUE, TokenType.FALSE, TokenType.AND, TokenType.OR, TokenType.XOR, TokenType.NOT,
    TokenType.DIV, TokenType.MOD, TokenType.ALIAS, TokenType.STRING, TokenType.NUMBER, TokenType.HEX_STRING,
})  # fmt: skip
_CHANGING: Final = frozenset({"RAND", "RANDOM", "UUID", "SELECT", "WITH"})


def inline_variables(tokens: Sequence[Token], characters_max: int, fail: Fail) -> list[Token]:
    """The tokens of the query after its SET statements, with each variable's value, in parentheses, in its place.

    `fail` makes an error of the character it is about, a code, a sentence and a hint.
    Raises syntax, bad-query, unknown-name, limit-text.
    """
    variables = _Variables(characters_max, fail)
    at = 0
    while [token.token_type for token in tokens[at : at + 2]] == [TokenType.SET, TokenType.PARAMETER]:
        end = next((n for n in range(at, len(tokens)) if tokens[n].token_type is TokenType.SEMICOLON), len(tokens))
        for part in _parts(tokens[at + 1 : end]):
            variables.hold(tokens[at], part)
        at = end + 1
    if at >= len(tokens) > 0:
        raise fail(tokens[-1].start, "syntax", "There is no query after SET.", "")
    return variables.put_into(tokens[at:])


def _parts(tokens: Sequence[Token]) -> list[list[Token]]:
    """What stands between the commas that are in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if token.token_type is TokenType.COMMA and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


@dataclass
class _Variables:
    """The values so far, as tokens that need no variable any more, by the name in lower case."""

    characters_max: int
    fail: Fail
    values: dict[str, list[Token]] = field(default_factory=dict)

    def hold(self, statement: Token, part: Sequence[Token]) -> None:
        """Keep one `@name = value`."""
        shape = [token.token_type for token in part[:3:2]]
        assigned = shape in ([TokenType.PARAMETER, one] for one in (TokenType.EQ, TokenType.COLON_EQ))
        if not (assigned and len(part) > 3 and _closed(part[3:])):
            raise self.fail(statement.start, "syntax", "SET takes @name = value.", _HINT)
        for before, token, after in zip(part[2:], part[3:], [*part[4:], None], strict=False):
            if not _is_constant(before, token, after):
                sentence = f"{token.text} cannot stand in the value of a variable."
                raise self.fail(token.start, "bad-query", sentence, _HINT)
        self.values[part[1].text.lower()] = self.put_into(part[3:])

    def put_into(self, tokens: Sequence[Token]) -> list[Token]:
        found: list[Token] = []
        characters = 0
        for value in self._pieces(tokens):
            characters += sum(len(token.text) + 1 for token in value)
            if characters > self.characters_max:
                sentence = f"The query with its variables in place is longer than {self.characters_max} bytes."
                raise self.fail(value[0].start, "limit-text", sentence, "")
            found += value
        return found

    def _pieces(self, tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
        at = 0
        while at < len(tokens):
            named = tokens[at].token_type is TokenType.PARAMETER and at + 1 < len(tokens)
            named = named and not (at and tokens[at - 1].token_type is TokenType.INTO)  # refused later, by its name
            yield self._value(tokens[at], tokens[at + 1]) if named else tokens[at : at + 1]
            at += 2 if named else 1

    def _value(self, mark: Token, name: Token) -> list[Token]:
        value = self.values.get(name.text.lower())
        if value is None:
            hint = f"Put SET @{name.text} = ...; in front of the query."
            raise self.fail(mark.start, "unknown-name", f"The variable @{name.text} has no value.", hint)
        # Placed where the variable is used, so that errors and the names of columns show it.
        return [
            Token(TokenType.L_PAREN, "(", mark.line, mark.col, mark.start, mark.end),
            *(Token(one.token_type, one.text, mark.line, mark.col, mark.start, name.end) for one in value),
            Token(TokenType.R_PAREN, ")", name.line, name.col, name.start, name.end),
        ]


def _closed(tokens: Sequence[Token]) -> bool:
    """Whether every parenthesis is closed here, so that the value stays one when it is put somewhere else."""
    steps = ((token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN) for token in tokens)
    depths = list(accumulate(steps))
    return min(depths) >= 0 and depths[-1] == 0


def _is_constant(before: Token, token: Token, after: Token | None) -> bool:
    """Whether a token of a value is a literal, an operator, a variable, a type, or the name of a function."""
    if token.token_type is TokenType.IDENTIFIER or token.text.upper() in _CHANGING:
        return before.token_type is TokenType.PARAMETER
    if token.token_type in _WORDS or not token.text[:1].isalpha():
        return True
    called = after is not None and after.token_type is TokenType.L_PAREN
    return called or before.token_type in (TokenType.ALIAS, TokenType.PARAMETER)
