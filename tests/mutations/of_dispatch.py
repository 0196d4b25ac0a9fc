"""Defects of the dispatch state machine, each of which seeds of its simulation must notice."""

from __future__ import annotations

from typing import Final

from tests.mutations.trial import Mutation

_STATE: Final = "src/qsky/dispatch/state.py"
_OVERDUE: Final = "src/qsky/dispatch/overdue.py"

MUTATIONS: Final = tuple(
    Mutation(*words)
    for words in (
        (
            "a piece is taken from two attempts",
            _STATE,
            "            self._forget(twin)\n            orders.append(Drop(twin))\n",
            "            pass\n",
        ),
        (
            "the slower twin runs on",
            _STATE,
            "            self._forget(twin)\n            orders.append(Drop(twin))\n",
            "            self._forget(twin)\n",
        ),
        (
            "a piece that nobody wants stays",
            _STATE,
            "        if number is None:\n            return [Drop(event.attempt)]\n",
            "        if number is None:\n            return []\n",
        ),
        (
            "a piece after the end stays",
            _STATE,
            "return [Drop(event.attempt)] if isinstance(event, Arrived) else []",
            "return []",
        ),
        ("what failed is not tried again", _STATE, "        self._try_again(number, where)\n", ""),
        ("what was lost is not tried again", _STATE, "            self._try_again(number, event.worker)\n", ""),
        (
            "it is tried again although its twin runs",
            _STATE,
            "        if not fragment.running:\n            self._again.append(number)",
            "        self._again.append(number)",
        ),
        (
            "it goes where it came to nothing",
            _STATE,
            "        fragment.avoid_also(where)\n",
            "        del where\n",
        ),
        (
            "a copy goes where the first hangs",
            _STATE,
            "            fragment.avoid_also(self._worker[attempt])\n",
            "",
        ),
        (
            "one attempt more than allowed",
            _STATE,
            "fragment.failures >= self.limits.attempts_max",
            "fragment.failures > self.limits.attempts_max",
        ),
        ("failures are not counted", _STATE, "        fragment.failures += 1\n", ""),
        (
            "errors of the query are tried again",
            _STATE,
            'error.code.family != "storage" or ',
            "",
        ),
        ("lost workers are not counted", _STATE, "            fragment.losses += 1\n", ""),
        (
            "what waited is guilty of its worker's end",
            _STATE,
            "fragment.ended += begun and event.ended",
            "fragment.ended += event.ended",
        ),
        (
            "what ran is guilty of its worker's silence",
            _STATE,
            "fragment.ended += begun and event.ended",
            "fragment.ended += begun",
        ),
        ("who was sent elsewhere counts as begun", _STATE, "            self._begun.discard(event.attempt)\n", ""),
        ("only the first of a lost worker's attempts", _STATE, "error = self._lost_too_often(fragment)", "break"),
        (
            "the deadline is not kept",
            _STATE,
            "if self._deadline is not None and now >= self._deadline:",
            "if self._deadline is not None and now >= self._deadline + 5:",
        ),
        (
            "more copies than allowed",
            _STATE,
            "            copies += 1\n",
            "",
        ),
        (
            "copies beyond the slots",
            _STATE,
            "if copies >= self.limits.copies_max or len(self._of) >= self.limits.slots:",
            "if copies >= self.limits.copies_max:",
        ),
        (
            "copies of copies",
            _STATE,
            "            if len(fragment.running) > 1:\n                continue\n",
            "",
        ),
        ("a copy as soon as it is slower than most", _OVERDUE, "if now - since < allowed:", "if now - since < 0.2:"),
        (
            "time runs on when it is sent elsewhere",
            _OVERDUE,
            "        self._since.pop(attempt, None)\n        self._since[attempt] = now\n",
            "        self._since.setdefault(attempt, now)\n",
        ),
        (
            "a limit is met by any fragments",
            _STATE,
            "        while self._ready in self._fragments and not self._enough():\n"
            "            rows = self._fragments[self._ready].rows\n            if rows is None:\n                return\n",
            "        while self._ready in self._fragments and not self._enough():\n"
            "            rows = self._fragments[self._ready].rows or 0\n",
        ),
        (
            "done with one to come",
            _STATE,
            "if self._ready == self._count or self._enough():",
            "if self._ready >= self._count - 1 or self._enough():",
        ),
        (
            "attempts are stopped that nobody has heard of",
            _STATE,
            "return [*started, *self._end(Done(self._ready), unsent)]",
            "return [*started, *self._end(Done(self._ready))]",
        ),
        ("it runs ahead of its consumer", _STATE, "self._taken + self.limits.ahead_max", "self._count"),
        (
            "a consumer's progress opens no slot",
            _STATE,
            "self._taken += 1\n            return self._fill()",
            "return []",
        ),
        (
            "slots stay empty",
            _STATE,
            "            orders.append(self._run(number))\n",
            "            orders.append(self._run(number))\n            break\n",
        ),
        (
            "a slot too many",
            _STATE,
            "while len(self._of) < self.limits.slots:",
            "while len(self._of) <= self.limits.slots:",
        ),
        (
            "new fragments before those that failed",
            _STATE,
            "        if self._again:\n            return self._again.pop(0)\n        if self._next < min(",
            "        if self._again and self._next >= self._count:\n            return self._again.pop(0)\n"
            "        if self._next < min(",
        ),
        (
            "what runs is not stopped at the end",
            _STATE,
            "for attempt in sorted(self._of) if attempt not in unsent]",
            "for attempt in sorted(self._of)[1:] if attempt not in unsent]",
        ),
    )
)
