"""What PostgreSQL writes of records has places for what is sealed of them."""

from hypothesis import given
from hypothesis import strategies as st

from interfaces.graphql_api.written import Sealed, has_places

ROWS = (
    '{"id":1,"said":\x017:reference\x01},'
    '{"id":2,"said":\x018:reference\x01,"by":\x018:counterparty\x01}'
)


def test_places_are_told_in_their_order() -> None:
    assert Sealed(ROWS).places == [(7, "reference"), (8, "reference"), (8, "counterparty")]


def test_texts_stand_in_their_places_as_json() -> None:
    texts = {(8, "reference"): 'called "7"', (8, "counterparty"): "Ada"}
    assert Sealed(ROWS).filled(texts) == (
        '{"id":1,"said":null},{"id":2,"said":"called \\"7\\"","by":"Ada"}'
    )


@given(st.text())
def test_no_text_makes_a_place_of_its_own(text: str) -> None:
    assert not has_places(Sealed(ROWS).filled({(7, "reference"): text}))
