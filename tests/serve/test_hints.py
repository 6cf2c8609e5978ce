"""What the page says when something fails."""

from __future__ import annotations

import string

import pytest

from derain_cli.errors import DerainError, InputError, ResourceError
from derain_cli.remedies import Remedy
from derain_cli.serve.hints import WORDS, problem_from


@pytest.mark.parametrize("remedy", WORDS, ids=lambda remedy: remedy.name)
def test_words_of_the_page_need_no_facts_that_the_error_lacks(remedy: Remedy) -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert fields(WORDS[remedy]) <= fields(remedy.value)


def test_paths_of_this_machine_are_not_told() -> None:
    error = InputError("too large: 1 x 1", path="/private/upload.jpg", remedy=Remedy.MORE_PIXELS)
    problem = problem_from(error)
    assert problem.reason == "too large: 1 x 1"
    assert problem.hint == WORDS[Remedy.MORE_PIXELS]
    assert problem_from(DerainError("no", remedy=Remedy.SPLIT_PAGES)).hint == Remedy.SPLIT_PAGES.value
    assert problem_from(DerainError("no", hint="a\nb")).hint == "a\\nb"
    assert problem_from(ResourceError("no")).hint is None


def test_a_bug_gives_away_its_kind_only() -> None:
    problem = problem_from(KeyError("/private/place"))
    assert problem.reason == "internal error: KeyError"
    assert problem.hint == "please report this"
