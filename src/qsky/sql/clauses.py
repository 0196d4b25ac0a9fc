"""The order of clauses and what may not be left out, looked up in the tokens: sqlglot minds neither. Pure; parse calls it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from sqlglot.tokens import Token, TokenType

from qsky.errors import QskyError

Fail = Callable[[int, str, str], QskyError]
_SET_OPERATORS: Final = frozenset({TokenType.UNION, TokenType.INTERSECT, TokenType.EXCEPT})
_LAST: Final = 6
_RANKS: Final = {
    TokenType.FROM: 1,
    TokenType.WHERE: 2,
    TokenType.GROUP_BY: 3,
    TokenType.HAVING: 4,
    TokenType.ORDER_BY: _LAST,
    TokenType.LIMIT: _LAST + 1,
    TokenType.OFFSET: _LAST + 1,
}
# What must be followed by something, and what is nothing.
_OPEN: Final = frozenset({TokenType.GROUP_BY, TokenType.ON, TokenType.ALIAS, TokenType.FROM, TokenType.JOIN})
_ENDS: Final = frozenset({TokenType.R_PAREN, TokenType.WHERE, TokenType.GROUP_BY, TokenType.ORDER_BY, TokenType.HAVING})


def check_clauses(found: Sequence[Token], fail: Fail) -> None:
    """Refuse clauses in a wrong order and words that nothing follows; `fail` makes the error of a place."""
    _check_order(found, fail)
    for token, following in pairwise(found):
        if token.token_type in _OPEN and following.token_type in _ENDS:
            raise fail(following.start, "syntax", f"Something is missing after {token.text.upper()}.")
        if token.token_type is TokenType.SELECT and following.token_type is TokenType.COMMA:
            raise fail(following.start, "syntax", "Something is missing after SELECT.")
    if found and found[-1].token_type in _OPEN:
        raise fail(found[-1].start, "syntax", f"Something is missing after {found[-1].text.upper()}.")


def _check_order(found: Sequence[Token], fail: Fail) -> None:
    """One pass with the rank and name of the last clause of each open parenthesis; -1 where there is no query in it."""
    open_queries = [(-1, "")]
    for at, token in enumerate(found):
        before, after = found[at - 1] if at else None, found[at + 1] if at + 1 < len(found) else None
        if token.token_type is TokenType.OFFSET and (after is None or after.token_type is not TokenType.NUMBER):
            continue  # a name
        kind, (rank, name) = token.token_type, open_queries[-1]
        if kind is TokenType.L_PAREN:
            open_queries.append((-1, ""))
        elif kind is TokenType.R_PAREN:
            open_queries = open_queries[:-1] or [(-1, "")]
        elif kind is TokenType.SELECT:
            open_queries[-1] = (0, "SELECT")
        elif kind in _SET_OPERATORS and rank >= _LAST:
            sentence = f"{name} of one operand of {token.text.upper()} needs parentheses around that operand."
            raise fail(token.start, "syntax", sentence)
        elif kind in _RANKS and rank >= 0 and not (before is not None and before.token_type is TokenType.DISTINCT):
            if _RANKS[kind] < rank:
                raise fail(token.start, "syntax", f"{token.text.upper()} must stand before {name}.")
            open_queries[-1] = (_RANKS[kind], token.text.upper())
