"""Fragments here are written by hand, of whatever takes long or fails; the words of the second wall are not asked."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def any_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsky.merge.only_known_words", str)
