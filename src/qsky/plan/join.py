"""The rule `join`: which references can be joined inside a chunk and its surroundings, and which cannot.

References of one family joined on the director's key share their chunks: a team. Teams are held together by near
neighbours, and by match tables, which lie with their first end and near their second. The anchor is the team of the
first reference of FROM that is in such a join; a joined row is emitted by the chunk that owns the anchor's rows, so
it is emitted once. Whatever does not fit sets `gather`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from qsky.catalog.model import Kind
from qsky.plan.draft import Draft, binding_predicates
from qsky.plan.model import Near, Team
from qsky.plan.outer import crossing, with_outer_nears
from qsky.plan.predicate import Linked, Refs, SameKey
from qsky.plan.prune import facts_of
from qsky.sql.parts import windows_in
from qsky.sql.query import (
    Aggregate,
    Expression,
    From,
    Join,
    Query,
    SubQuery,
    TableRef,
    Window,
    conjuncts,
    expressions_after_where,
    walk,
)

_ARCSEC_PER_DEG = 3600.0
# Beyond this the surroundings of any chunk are most of the sky.
REACH_MAX_DEG = 45.0

Parties = tuple[frozenset[str], ...]


class _Unsound(Exception):
    """Why a join cannot be done inside chunks."""


def join(draft: Draft) -> Draft:
    """Teams of references, or the reason why everything is gathered."""
    draft = with_outer_nears(draft, len(near_joins(draft)))
    if not draft.partitioned:
        return replace(draft.kept("join", "no partitioned table: the query runs once"), nears=near_joins(draft))
    try:
        if not any(ref.table.partitioned for ref in draft.query.tables):
            raise _Unsound("only a sub-query with outer columns has a partitioned table")
        parties = _merged(_parties(draft.query.source, draft.refs), _key_edges(draft))
        teams, nears = _teams(parties, draft)
        teams = _with_nested(draft, teams)
    except _Unsound as reason:
        return replace(draft.kept("join", str(reason)), gather=str(reason), nears=near_joins(draft))
    return replace(draft.fired("join", _sentence(teams, draft)), teams=teams, nears=nears)


def _with_nested(draft: Draft, teams: tuple[Team, ...]) -> tuple[Team, ...]:
    """The teams with the tables of nested queries: each must be bound to the anchor by the director's key or an angle.

    Then whatever a nested query can find for a row lies in the row's chunk or near it, so that it means the same there.
    """
    if any(_is_above(expression, draft.query) for expression in expressions_after_where(draft.query)):
        raise _Unsound("a sub-query with outer columns minds aggregates or window functions")
    if not draft.nested & set(draft.partitioned):
        return teams
    if (draft.query.aggregates or windows_in(draft.query)) and _nested_in_items(draft.query):
        raise _Unsound("a sub-query with outer columns stands beside aggregates or window functions")
    linked, near = set(teams[0].aliases), list[Team]()
    for sub in draft.query.nested:
        assert sub.query is not None
        facts = facts_of(binding_predicates(sub.query), draft.refs)
        edges = [fact for fact in facts if isinstance(fact, SameKey)]
        for party in _merged(_parties(sub.query.source, draft.refs), edges):
            reaches = [f.radius_deg for f in facts if isinstance(f, Near) and f.placed and _between(f, linked, party)]
            if any(_between(edge, linked, party) for edge in edges):
                linked |= party
            elif reaches and min(reaches) <= REACH_MAX_DEG:
                near.append(_team(party, min(reaches), teams[0].aliases[0], draft))
            else:
                names = ", ".join(sorted(party))
                raise _Unsound(
                    f"a sub-query binds {names} to the rows around it neither by the director key nor an angle"
                )
    anchor = replace(teams[0], aliases=tuple(alias for alias in draft.refs if alias in linked))
    return (anchor, *teams[1:], *near)


def _between(edge: SameKey | Near, linked: set[str], party: frozenset[str]) -> bool:
    """Whether it joins a row around a sub-query with one inside it."""
    return bool({edge.left, edge.right} & linked and {edge.left, edge.right} & party)


def _nested_in_items(query: Query) -> bool:
    """Whether a sub-query with outer columns stands anywhere but in WHERE and ON."""
    parts = (part for expression in expressions_after_where(query) for part in walk(expression))
    return any(isinstance(part, SubQuery) and part.query for part in parts)


def _is_above(expression: Expression, query: Query) -> bool:
    """Whether a sub-query with outer columns is worked out after groups or windows are, where its tables are not."""
    if isinstance(expression, SubQuery) and expression.query is not None:
        late = any(isinstance(part, Aggregate | Window) for each in expression.operands for part in walk(each))
        return late or (query.aggregates and expression not in query.group_by)
    if isinstance(expression, Aggregate) or (query.aggregates and expression in query.group_by):
        return False
    return any(_is_above(part, query) for part in expression.children())


def _key_edges(draft: Draft) -> list[SameKey]:
    return [fact for fact in draft.facts if isinstance(fact, SameKey)]


def _parties(source: From | None, refs: Refs) -> Parties:
    """The partitioned references below a FROM, grouped by the key joins inside it."""
    if isinstance(source, TableRef):
        return (frozenset((source.alias,)),) if source.table.partitioned else ()
    if not isinstance(source, Join):
        return ()
    left, right = _parties(source.left, refs), _parties(source.right, refs)
    if source.kind == "full" and (left or right):
        raise _Unsound("a FULL JOIN keeps the rows of both sides")
    facts = facts_of(conjuncts(source.on), refs)
    both = _merged((*left, *right), [fact for fact in facts if isinstance(fact, SameKey)])
    if source.kind == "left" and right:
        near = frozenset(near.right for near in crossing(source, refs) if near.placed)
        _check_left(left, right, both, near)
    return both


def _check_left(left: Parties, right: Parties, both: Parties, near: frozenset[str]) -> None:
    """A LEFT JOIN is decided inside a chunk if whatever can match lies in the preserved row's chunk, or near it."""
    if not left:
        raise _Unsound("a LEFT JOIN keeps the rows of a replicated table, which every chunk would keep again")
    preserved = frozenset().union(*left)
    for party in both:
        if not party & (preserved | near) and any(party & optional for optional in right):
            names = ", ".join(sorted(party))
            raise _Unsound(f"a LEFT JOIN does not join {names} on the director key of the rows it keeps")


def _merged(parties: Iterable[frozenset[str]], edges: Iterable[SameKey]) -> Parties:
    """Parties after each edge has joined the two it touches, in the order of their first appearance."""
    result = list(parties)
    for edge in edges:
        touched = [party for party in result if edge.left in party or edge.right in party]
        if len(touched) == 2:
            place = result.index(touched[0])
            result = [party for party in result if party not in touched]
            result.insert(place, touched[0] | touched[1])
    return tuple(result)


def _teams(parties: Parties, draft: Draft) -> tuple[tuple[Team, ...], tuple[Near, ...]]:
    order = list(draft.refs)
    nears = near_joins(draft)
    if len(parties) == 1:
        return (Team(_sorted(parties[0], order)),), nears
    links = [fact for fact in draft.facts if isinstance(fact, Linked) and not {fact.left, fact.right} & draft.optional]
    own = (near for near in nears if near.placed and near.right not in draft.nested)
    placed: tuple[Near | Linked, ...] = (*own, *links)
    if not placed:
        raise _Unsound(_why_apart(parties, order))
    first = min((near.left for near in placed), key=order.index)
    reach = _reaches(first, parties, placed)
    if len(reach) < len(parties):
        raise _Unsound(_why_apart(parties, order))
    if max(reach.values()) > REACH_MAX_DEG:
        raise _Unsound(f"the radius of {max(reach.values()):g} degrees reaches most of the sky from every chunk")
    teams = [_team(party, reach[party], first, draft) for party in parties]
    return tuple(sorted(teams, key=lambda team: first not in team.aliases)), nears


def near_joins(draft: Draft) -> tuple[Near, ...]:
    """Every near-neighbour join between references whose rows are never missing, then those of LEFT JOINs."""
    optional = draft.optional
    inner = (f for f in draft.facts if isinstance(f, Near) and not {f.left, f.right} & optional)
    return (*inner, *draft.outer_nears)


def _sorted(party: frozenset[str], order: list[str]) -> tuple[str, ...]:
    return tuple(sorted(party, key=order.index))


def _reaches(first: str, parties: Parties, nears: tuple[Near | Linked, ...]) -> dict[frozenset[str], float]:
    """How far from the anchor's rows each party's rows may lie: the shortest way over the radii."""
    of = {alias: party for party in parties for alias in party}
    reach = {of[first]: 0.0}
    for _ in parties:
        for near in nears:
            for here, there in ((of[near.left], of[near.right]), (of[near.right], of[near.left])):
                if here in reach:
                    reach[there] = min(reach.get(there, 1e9), reach[here] + near.radius_deg)
    return reach


def _team(party: frozenset[str], reach_deg: float, first: str, draft: Draft) -> Team:
    aliases = _sorted(party, list(draft.refs))
    if first in party:
        return Team(aliases)
    ref, anchor = draft.refs[aliases[0]], draft.refs[first]
    same_tiling = ref.table.kind is Kind.DIRECTOR and ref.table.tiling != "" and ref.table.tiling == anchor.table.tiling
    stored = len(aliases) == 1 and same_tiling and reach_deg * _ARCSEC_PER_DEG <= ref.table.overlap_arcsec
    return Team(aliases, reach_deg, overlap=stored)


def _why_apart(parties: Parties, order: list[str]) -> str:
    names = " and ".join("(" + ", ".join(_sorted(party, order)) + ")" for party in parties)
    return f"{names} are joined neither on a director's key nor as near neighbours"


def _sentence(teams: tuple[Team, ...], draft: Draft) -> str:
    said = []
    for place, team in enumerate(teams):
        names = ", ".join(team.aliases)
        if place == 0:
            said.append(f"{names} inside the chunk" if len(draft.refs) > 1 else f"{names} chunk by chunk")
        elif team.overlap:
            said.append(f"{names} from the chunk and its overlap ({team.reach_deg * _ARCSEC_PER_DEG:g} arcsec)")
        else:
            reach = f"{team.reach_deg * _ARCSEC_PER_DEG:g} arcsec"
            said.append(f"{names} from all chunks within {reach}")
    replicated = [alias for alias in draft.refs if alias not in draft.partitioned]
    if replicated:
        said.append(f"{', '.join(replicated)} whole in every fragment")
    return "; ".join(said)
