"""Answers without pages: only rows whose every id may be read stay."""

from __future__ import annotations

import pytest

from gateway.filters.lists import ids_in, trim_list

SCORERS = {
    "scorers": [
        {"experiment_id": "1", "name": "a"},
        {"experiment_id": "2", "name": "b"},
        {"name": "no id"},
        {"experiment_id": 1},
        "not an object",
    ],
    "other": 5,
}


def test_rows_stay_when_their_id_is_readable_and_the_rest_is_dropped() -> None:
    trimmed = trim_list(SCORERS, "scorers[]", "experiment_id", {"1"}.__contains__)
    assert trimmed == {"scorers": [{"experiment_id": "1", "name": "a"}], "other": 5}
    assert len(SCORERS["scorers"]) == 5


def test_the_ids_to_ask_about_are_those_of_complete_rows() -> None:
    assert ids_in(SCORERS, "scorers[]", "experiment_id") == {"1", "2"}


@pytest.mark.parametrize(
    "row, kept",
    [
        ({"experiment_ids": ["1"]}, True),
        ({"experiment_ids": ["1", "2"]}, False),
        ({"experiment_ids": []}, False),
        ({"experiment_ids": "1"}, False),
        ({"experiment_ids": [None]}, False),
        ({"experiment_ids": [["1"]]}, False),
    ],
)
def test_every_id_of_a_row_must_be_readable(row: dict, kept: bool) -> None:
    answer = {"result": {"datasets": [row]}}
    trimmed = trim_list(answer, "result.datasets[]", "experiment_ids[]", {"1"}.__contains__)
    assert trimmed == {"result": {"datasets": [row] if kept else []}}


def test_several_ids_of_one_row_are_all_needed() -> None:
    answer = {"rows": [{"a": "1", "b": {"c": "2"}}, {"a": "1"}]}
    assert trim_list(answer, "rows[]", "a, b.c", {"1", "2"}.__contains__) == {
        "rows": [{"a": "1", "b": {"c": "2"}}]
    }
    assert ids_in(answer, "rows[]", "a, b.c") == {"1", "2"}


def test_rows_in_rows_are_trimmed_where_they_are() -> None:
    answer = {"groups": [{"rows": [{"id": "1"}, {"id": "2"}]}, 7]}
    assert trim_list(answer, "groups[].rows[]", "id", {"2"}.__contains__) == {
        "groups": [{"rows": [{"id": "2"}]}]
    }


@pytest.mark.parametrize("odd", [None, 5, "1", {"experiment_id": "1"}])
def test_a_list_that_is_no_list_becomes_empty(odd: object) -> None:
    assert trim_list({"scorers": odd}, "scorers[]", "experiment_id", {"1"}.__contains__) == {
        "scorers": []
    }


def test_an_absent_list_stays_absent() -> None:
    assert trim_list({}, "scorers[]", "experiment_id", {"1"}.__contains__) == {}
    assert trim_list({"a": 1}, "a.b[]", "id", {"1"}.__contains__) == {"a": {}}
