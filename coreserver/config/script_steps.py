"""Settings of the steps of a script."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, StringConstraints, Tag

from coreserver.config.base import HEX_PAIRS, FrozenSettings


class Send(FrozenSettings):
    """Send these characters, encoded as UTF-8."""

    send: Annotated[str, StringConstraints(min_length=1, max_length=65536)]


class SendHex(FrozenSettings):
    """Send these bytes, written as pairs of hex digits."""

    send_hex: Annotated[str, StringConstraints(min_length=2, max_length=131072, pattern=HEX_PAIRS)]


class Wait(FrozenSettings):
    """Pause; replies are still read and checked."""

    wait_s: float = Field(ge=0, le=600)


class Expect(FrozenSettings):
    """Wait until this text occurs in the replies that no earlier `expect` has consumed."""

    expect: Annotated[str, StringConstraints(min_length=1, max_length=65536)]


def _step_kind(step: Any) -> str | None:
    """Return the tag of the step's kind, so that an error is about that kind only."""
    for kind in ("send", "send_hex", "wait_s", "expect"):
        if (isinstance(step, dict) and kind in step) or hasattr(step, kind):
            return f"{kind} step"
    return None


Step = Annotated[
    Annotated[Send, Tag("send step")]
    | Annotated[SendHex, Tag("send_hex step")]
    | Annotated[Wait, Tag("wait_s step")]
    | Annotated[Expect, Tag("expect step")],
    Discriminator(
        _step_kind,
        custom_error_type="step_kind",
        custom_error_message="a step is one of {send: text}, {send_hex: hex digits}, {wait_s: seconds}, {expect: text}",
    ),
]
Steps = Annotated[list[Step], Field(min_length=1, max_length=1000)]
