"""Overlapping spans get different levels, as few as possible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.timeline.stacking import levels_of

Span = tuple[int, int]
SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair)))).map(sorted)


@pytest.mark.parametrize(
    ("spans", "levels"),
    [
        ([], []),
        ([(0, 5), (5, 6)], [0, 0]),
        ([(0, 5), (1, 3), (2, 9), (3, 4), (6, 7)], [0, 1, 2, 1, 0]),
        ([(0, 0), (0, 0)], [0, 0]),
    ],
)
def test_levels_by_hand(spans: list[Span], levels: list[int]) -> None:
    assert list(levels_of(spans)) == levels


@given(SPANS)
def test_lowest_free_level_is_used(spans: list[Span]) -> None:
    placed: list[tuple[Span, int]] = []
    for (begin, end), level in zip(spans, levels_of(spans), strict=True):
        taken = {other for (_, until), other in placed if until > begin}
        assert level == min(set(range(len(placed) + 1)) - taken)
        placed.append(((begin, end), level))
