"""The kinds of client groups and the settings class of each, read from the types of `coreserver.config.load`."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel

from coreserver.config.load import ClientGroup

GROUP_KINDS: dict[str, type[BaseModel]] = {
    get_args(group.model_fields["kind"].annotation)[0]: group for group in get_args(get_args(ClientGroup)[0])
}
