"""Telemetry frames: encoding and decoding, for any split of the stream."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreserver.records.samples import Sample
from coreserver.records.server import Event, ServerOutcome
from coreserver.telemetry.frames import (
    MAX_TEXT_BYTES,
    Accepted,
    Decoder,
    Ended,
    Finished,
    Frame,
    Listening,
    Lost,
    Refused,
    Started,
    WireError,
    encode,
)

counts = st.integers(0, 2**64 - 1)
figures = st.none() | st.integers(0, 2**63 - 1)
texts = st.text(max_size=200)
ports = st.integers(0, 65535)
outcomes = st.sampled_from(ServerOutcome)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Accepted, counts, counts, st.tuples(texts, ports)),
    st.builds(Started, counts, counts, texts),
    st.builds(Finished, counts, counts, outcomes, counts, counts, counts),
    st.builds(Lost, outcomes, counts),
    st.builds(Listening, texts, ports),
    st.builds(Refused, texts, texts, texts),
    st.just(Ended()),
    st.builds(Event, counts, texts, texts),
    st.builds(
        Sample,
        *(counts, counts, counts),
        *(figures, figures, figures, figures),
        st.floats(allow_nan=False),
        *(counts, counts, counts, counts),
        figures,
    ),
)


@given(st.lists(frames, max_size=20), st.randoms(use_true_random=False))
def test_frames_survive_any_split(sent: list[Frame], cuts: random.Random) -> None:
    stream = b"".join(map(encode, sent))
    decoder = Decoder()
    received: list[Frame] = []
    position = 0
    while position < len(stream):
        cut = position + cuts.randint(1, 60)
        received += decoder.feed(stream[position:cut])
        position = cut
    assert received == sent
    assert [type(frame) for frame in received] == [type(frame) for frame in sent]


def test_long_text_is_cut() -> None:
    [event] = Decoder().feed(encode(Event(1, "error", "ä" * MAX_TEXT_BYTES)))
    assert isinstance(event, Event)
    assert event.detail == "ä" * (MAX_TEXT_BYTES // 2)


@pytest.mark.parametrize(
    "data",
    [
        b"Hello, I am not the program you are looking for\n",
        struct.pack("=HB", 0, 200),  # no such kind
        struct.pack("=HB", 3, 0) + b"abc",  # too short for an `accepted`
        struct.pack("=HBBQ", 9, 3, 99, 1),  # no such outcome
        struct.pack("=HBB", 1, 6, 0),  # an `ended` with something in it
        struct.pack("=HBQQHH", 20, 0, 1, 1, 80, 9),  # a text longer than its frame
    ],
)
def test_invalid_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(Decoder().feed(data))


def test_partial_frame_waits_for_the_rest() -> None:
    decoder = Decoder()
    data = encode(Listening("127.0.0.1", 4711))
    assert list(decoder.feed(data[:2])) == []
    assert list(decoder.feed(data[2:-1])) == []
    assert list(decoder.feed(data[-1:])) == [Listening("127.0.0.1", 4711)]
