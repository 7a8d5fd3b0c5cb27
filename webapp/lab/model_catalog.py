"""Resources of the server models: description, options and source."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path

from coreserver.models import MODELS
from coreserver.models.shared.base import ServerModel
from webapp.problems import NotFound
from webapp.schemas.resources import ModelResource


@cache
def all_models() -> list[ModelResource]:
    """Return all models, in the order of `MODELS`. Cached, because the code does not change while the lab runs."""
    return [_resource(name, model) for name, model in MODELS.items()]


def get_model(name: str) -> ModelResource:
    """Return the model of that name.

    Raises:
        NotFound: there is none.
    """
    for model in all_models():
        if model.name == name:
            return model
    raise NotFound("there is no model of that name; GET /api/v1/models lists all models")


def _resource(name: str, model: type[ServerModel]) -> ModelResource:
    module = inspect.getmodule(model)
    file = Path(inspect.getfile(model))
    description = inspect.cleandoc((module.__doc__ if module else None) or model.__doc__ or "")
    return ModelResource(
        name=name,
        summary=inspect.cleandoc(model.__doc__ or "").partition("\n")[0],
        description=description,
        options=model.Config.model_json_schema(),
        source_file=f"{file.parent.parent.name}/{file.parent.name}/{file.name}",
        source=file.read_text(),
    )
