"""Defects of the keeper, and of workers that obey it, each of which seeds of its simulation must notice."""

from __future__ import annotations

from typing import Final

from tests.mutations.trial import Mutation

_KEEPER: Final = "src/qsky/cluster/keeper.py"
_FLIGHTS: Final = "src/qsky/cluster/flights.py"
_MEMBERS: Final = "src/qsky/cluster/members.py"
_HOLDINGS: Final = "src/qsky/cluster/holdings.py"
_QUEUES: Final = "src/qsky/cluster/queues.py"
_UPKEEP: Final = "src/qsky/cluster/upkeep.py"
_STATEMENTS: Final = "src/qsky/cluster/statements.py"
_WORKER: Final = "tests/cluster/simulated.py"

MUTATIONS: Final = tuple(
    Mutation(*words)
    for words in (
        ("removed without a look", _KEEPER, "if not unsure and not unheard:", "if True:"),
        ("removed though nobody checked", _KEEPER, "if not unsure and not unheard:", "if not unheard:"),
        ("removed though one is silent", _KEEPER, "if not unsure and not unheard:", "if not unsure:"),
        ("removed while copies are missing", _KEEPER, "        if targets and not missing:\n", "        if targets:\n"),
        (
            "removed from a worker that leaves",
            _KEEPER,
            "self.members.ready(host) and not self.members.draining(host):",
            "self.members.ready(host):",
        ),
        ("a renewed lease is a new one", _KEEPER, "        if epoch <= self._epoch_last:\n            return\n", ""),
        ("what an older epoch ordered counts", _KEEPER, "        self.flights.forget_all()\n", ""),
        ("what was found in an older epoch counts", _FLIGHTS, "        self._witnesses.clear()\n", ""),
        (
            "answers of another keeper's orders count",
            _FLIGHTS,
            "if epoch == self._epoch and number in self._flights",
            "if number in self._flights",
        ),
        ("what was found counts for ever", _FLIGHTS, " and recent and not", " and not"),
        (
            "what was found counts from the answer",
            _FLIGHTS,
            "= order.number, flight.sent_at",
            "= order.number, self._now",
        ),
        (
            "a condemned copy vouches",
            _FLIGHTS,
            "return number > self._condemned.get((part, host), -1) and",
            "return number >= 0 and",
        ),
        (
            "bad copies are still counted",
            _KEEPER,
            "            self.holdings.remove(part, order.on)\n\n",
            "            pass\n\n",
        ),
        ("old inventories are read", _MEMBERS, "or serial < member.serial:", "or serial < 0:"),
        ("inventories undo what came after them", _MEMBERS, "return frozenset(member.recent)", "return frozenset()"),
        (
            "copies on their way out are counted",
            _KEEPER,
            "aside = newer | self.flights.leaving(event.host)",
            "aside = newer",
        ),
        (
            "what comes unasked shows that a worker knows itself",
            _MEMBERS,
            "        if answers in member.asked:\n            member.told_at = member.asked[answers]",
            "        if True:\n            member.told_at = member.asked.get(answers, 1e9)",
        ),
        (
            "inventories of an older epoch count",
            _MEMBERS,
            "            _doubt(member)\n            member.absent_since = now if",
            "            member.absent_since = now if",
        ),
        (
            "who was silent is believed as before",
            _MEMBERS,
            "            _doubt(member)\n            if member.lost",
            "            if member.lost",
        ),
        (
            "who does not answer is ready",
            _MEMBERS,
            "return member is not None and member.heard and member.known",
            "return member is not None and member.heard",
        ),
        ("no quiet time", _KEEPER, "return self._quiet_until is None or self.now < self._quiet_until", "return False"),
        (
            "no quiet time in later epochs",
            _KEEPER,
            "        self._quiet_until = None\n        self.flights",
            "        self.flights",
        ),
        (
            "no quiet time after mass silence",
            _KEEPER,
            "if self.members.silent(event.host, self.now) and self._quiet_until is not None:",
            "if self.members.silent(event.host, self.now) and False:",
        ),
        (
            "lost as soon as silent",
            _MEMBERS,
            "        limit = now - self.settings.worker_lost_seconds\n        names",
            "        limit = now\n        names",
        ),
        ("never lost", _MEMBERS, "                names.append(name)\n", "                pass\n"),
        (
            "parts are lost before all have said so",
            _MEMBERS,
            "(m.known and m.told_at > when) if m.heard",
            "True if m.heard",
        ),
        ("what was slept through is silence", _KEEPER, "            self.members.slept(asleep)\n", ""),
        ("what was slept through is grace", _KEEPER, "            self.holdings.slept(asleep)\n", ""),
        (
            "what failed is never tried again",
            _KEEPER,
            "self.queues.put_off(name, self.now + self.settings.keeper_retry_seconds)",
            "pass",
        ),
        ("what failed is tried again at once", _QUEUES, "return now < self._not_before.get(name, now)", "return False"),
        (
            "what was put off is forgotten",
            _QUEUES,
            "                if name not in self._level:\n",
            "                if name in self._level:\n",
        ),
        (
            "unanswered orders count for ever",
            _FLIGHTS,
            "            late.append(flight.order)\n            self._end(number)\n",
            "            pass\n",
        ),
        (
            "a full disk is filled",
            _KEEPER,
            "            self.members.full(order.on, self.holdings.bytes_on(order.on))\n",
            "            pass\n",
        ),
        ("who leaves is given parts", _MEMBERS, "if host.alive and not host.draining]", "if host.alive]"),
        (
            "who leaves may leave at once",
            _STATEMENTS,
            "return bool(chosen) and all(host in part.holders for host in chosen)",
            "return True",
        ),
        ("healthy too soon", _STATEMENTS, "        if self._short:\n", "        if len(self._short) > 1:\n"),
        ("a worker fetches too much", _FLIGHTS, "self._fetching[to] >= most or ", ""),
        ("a worker gives too much", _FLIGHTS, "self._giving[giver] >= most or ", ""),
        ("too much is under way", _FLIGHTS, " or self.room <= 0:", ":"),
        (
            "fetched from who is silent",
            _KEEPER,
            "return self.flights.pull(part.name, part.bytes, host, trusted or ready)",
            "return self.flights.pull(part.name, part.bytes, host, list(part.holders))",
        ),
        (
            "the wrong size is taken for the part",
            _HOLDINGS,
            "            elif size != part.bytes:\n",
            "            elif size < 0:\n",
        ),
        ("parts of live loads are put aside", _UPKEEP, "or is_of_live_load(name, loads) ", ""),
        ("strays have no grace", _UPKEEP, "        if now < since + grace:", "        if now < since:"),
        (
            "the grace of a load's parts ends with it",
            _KEEPER,
            "            self.holdings.spare(self.loads - event.loads, self.now)\n",
            "",
        ),
        ("strays stay", _UPKEEP, "        flights.quarantine(name, host)\n", ""),
        (
            "vacuumed parts stay",
            _KEEPER,
            "                self.queues.remember_stray(ripe, host, name)\n",
            "                pass\n",
        ),
        (
            "nobody is asked anew",
            _MEMBERS,
            "if member.heard and (member.asks or old) and not asked:",
            "if member.heard and member.asks and not asked:",
        ),
        ("bad copies are not looked for", _UPKEEP, "                flights.scrub(name, host)\n", ""),
    )
)
