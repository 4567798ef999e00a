"""moto made faster answers what moto answers."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from moto.core.serialize import JSONSerializer
from moto.core.utils import get_service_model

from tests.fakes import fast_moto

NAMES = st.text(min_size=1, max_size=4)  # an attribute has a name
LEAVES = st.one_of(
    st.builds(lambda v: {"S": v}, st.text(max_size=6)),
    st.builds(lambda v: {"N": str(v)}, st.integers()),
    st.builds(lambda v: {"B": v}, st.binary(max_size=6)),
    st.builds(lambda v: {"BOOL": v}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda v: {"SS": v}, st.lists(st.text(max_size=3), min_size=1, max_size=3)),
    st.builds(lambda v: {"NS": v}, st.lists(st.integers().map(str), min_size=1, max_size=3)),
    st.builds(lambda v: {"BS": v}, st.lists(st.binary(max_size=3), min_size=1, max_size=3)),
)
VALUES = st.recursive(
    LEAVES,
    lambda one: st.one_of(
        st.builds(lambda v: {"L": v}, st.lists(one, max_size=3)),
        st.builds(lambda v: {"M": v}, st.dictionaries(NAMES, one, max_size=3)),
    ),
    max_leaves=6,
)
QUERY = get_service_model("dynamodb").operation_model("Query")


class _AsMotoDoes(JSONSerializer):
    _serialize_type_map = fast_moto._map


@given(items=st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=2))
def test_items_become_the_same_json(items: list[Any]) -> None:
    result = {"Items": items, "Count": len(items)}
    fast = JSONSerializer(QUERY).serialize(result)
    slow = _AsMotoDoes(QUERY).serialize(result)
    assert json.loads(fast["body"]) == json.loads(slow["body"])
    assert fast["headers"] == slow["headers"]
