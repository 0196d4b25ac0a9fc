"""The planner: a tuple of rules, each one verb in one file. Called by `engine`; pure.

To learn the order, read RULES; to add a rule, add a file and a line. A rule takes a Draft and gives a Draft, and says
in a note what it did or why it did nothing. The first to set `plan` ends the planning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from qsky.catalog.snapshot import TableSnapshot
from qsky.config import Settings
from qsky.plan.batch import batch
from qsky.plan.draft import Draft, binding_predicates, refs_of
from qsky.plan.gather import gather
from qsky.plan.join import join
from qsky.plan.listed import listed_keys
from qsky.plan.model import Answers, Given, Note, Plan, Probe
from qsky.plan.predicate import KeyIn
from qsky.plan.prune import facts_of, probe_of, prune
from qsky.plan.split import split
from qsky.plan.statistics import statistics
from qsky.sql.query import Query

RULES: Final[tuple[Callable[[Draft], Draft], ...]] = (statistics, prune, join, batch, gather, split)


def probes_of(query: Query, snapshots: Mapping[str, TableSnapshot], given: Given | None = None) -> tuple[Probe, ...]:
    """The index lookups whose answers `plan` can use; `snapshots` by alias."""
    refs = refs_of(query, snapshots, given or {})
    facts = (*facts_of(binding_predicates(query), refs), *listed_keys(query, refs, given or {}))
    probes = (probe_of(fact, refs) for fact in facts if isinstance(fact, KeyIn))
    return tuple(dict.fromkeys(probe for probe in probes if probe is not None))


def plan(
    query: Query,
    snapshots: Mapping[str, TableSnapshot],
    answers: Answers,
    settings: Settings,
    given: Given | None = None,
) -> Plan:
    """What is read, in which fragments, with which SQL, and how the answer is made of the pieces.

    `snapshots` by alias; `answers` by probe, absent ones prune nothing; `given` are the rows of the stages it reads.
    Raises limit-gather.
    """
    draft = Draft(query, refs_of(query, snapshots, given or {}), answers, settings, given or {})
    for place, rule in enumerate(RULES):
        draft = rule(draft)
        if draft.plan is not None:
            return _with_the_rest(draft.plan, RULES[place + 1 :])
    raise AssertionError("the last rule always makes a plan")


def _with_the_rest(made: Plan, rules: tuple[Callable[[Draft], Draft], ...]) -> Plan:
    """The plan with a note for each rule that was not asked any more."""
    return replace(
        made, notes=(*made.notes, *(Note(rule.__name__, False, "the plan was made before") for rule in rules))
    )
