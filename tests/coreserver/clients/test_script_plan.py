"""Script plans: the sends, their replies, and the messages that each send completes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreserver.clients.script_plan import Await, Pause, Say, actions_of
from coreserver.config.load import ScriptGroup
from coreserver.protocols.article import ProtocolEngine


def group(*steps: Mapping[str, object], **options: object) -> ScriptGroup:
    return ScriptGroup.model_validate({"kind": "script", "script": list(steps) or "article", **options})


def sends(*texts: str) -> list[tuple[bytes, tuple[int | None, ...]]]:
    actions = actions_of(group(*({"send": text} for text in texts)))
    return [(action.reply, action.replies_end) for action in actions if isinstance(action, Say)]


def test_article_script_has_three_sends() -> None:
    assert actions_of(group()) == (
        Say(b"^abc$de^abte$f", b"bcdbcuf", (3, 7)),
        Pause(1_000_000_000),
        Say(b"xyz^123", b"234", ()),  # its message ends in the next send
        Pause(1_000_000_000),
        Say(b"25$^ab0000$abab", b"36bc1111", (12, 18)),
        Pause(200_000_000),
        Await(b"1111"),
    )


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["^ab$"], [(b"bc", (2,))], id="one message"),
        pytest.param(["^ab", "$"], [(b"bc", (2,)), (b"", ())], id="the send of the last byte completes the reply"),
        pytest.param(["^", "a", "$^b$"], [(b"", ()), (b"b", (1,)), (b"c", (2,))], id="one byte per send"),
        pytest.param(["^$"], [(b"", (None,))], id="an empty message has no reply"),
        pytest.param(["^", "$"], [(b"", ()), (b"", (None,))], id="an empty message is sent with its end"),
        pytest.param(["^ab"], [(b"bc", ())], id="without its end it is no message"),
        pytest.param(["noise"], [(b"", ())], id="noise is not answered"),
        pytest.param(["^a^b$"], [(b"b_c", (3,))], id="a caret inside is data"),
    ],
)
def test_sends_carry_replies_and_message_ends(
    texts: list[str], expected: list[tuple[bytes, tuple[int | None, ...]]]
) -> None:
    assert sends(*texts) == expected


@given(st.lists(st.text("^$ab", min_size=1, max_size=12), min_size=1, max_size=8))
def test_replies_equal_those_of_the_engine(texts: list[str]) -> None:
    engine = ProtocolEngine()
    whole = engine.receive("".join(texts).encode())
    plan = sends(*texts)
    assert b"".join(reply for reply, _ in plan) == whole
    assert sum(len(ends) for _, ends in plan) == engine.messages_finished
    ends = [end for _, ends in plan for end in ends if end is not None]
    assert ends == sorted(set(ends))


def test_text_is_utf_8_and_hex_is_bytes() -> None:
    actions = actions_of(group({"send": "é"}, {"send_hex": "5eFF24"}))
    assert actions == (Say("é".encode(), b"", ()), Say(b"^\xff$", b"\x00", (1,)))
