"""The shapes of objects, as the models of azure-batch know them.

By msrest's documented means a model says what it consists of: `as_dict` shows each property's name
in JSON and its type to a function of the caller's, `validate` what must not be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

from azure.batch import models

from tests.local_azure.batch.property_types import (
    BOOLEAN,
    DURATION,
    INTEGER,
    NOT_IMITATED,
    TEXT,
    TIME,
    AnyObject,
    ListOf,
    OneOf,
    Shape,
    Value,
)

_SIMPLE: dict[str, Value] = {
    'str': TEXT,
    'int': INTEGER,
    'long': INTEGER,
    'float': INTEGER,  # in statistics only, which are not shown
    'bool': BOOLEAN,
    'duration': DURATION,
    'iso-8601': TIME,
    'object': AnyObject(),
}


def shape_of(
    model: str,
    changes: Mapping[str, Value] | None = None,
    *,
    not_imitated: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
    **more: Any,
) -> Shape:
    """The shape of a model.

    `changes` are properties that the model does not know, or not as the service does; `required`
    are those which it does not require. `more` is as in `Shape`.
    """
    types, missing = _description(model)
    given = {**(changes or {}), **dict.fromkeys(not_imitated, NOT_IMITATED)}
    properties = {}
    for name, kind in types.items():
        properties[name] = given[name] if name in given else _value(kind)
    properties.update(given)
    return Shape(model, properties, (*missing, *required), **more)


def _description(model: str) -> tuple[dict[str, str], list[str]]:
    """The types of all properties by their names in JSON, and the names of those required."""
    empty = getattr(models, model).from_dict({})
    types = {}
    names_in_json = {}

    def note(attribute: str, description: dict[str, str], value: object) -> tuple[str, object]:
        name = description['key']
        types[name] = description['type']
        names_in_json[attribute] = name
        return name, value

    empty.as_dict(key_transformer=note)
    missing = [error.target.removeprefix(f'{model}.') for error in empty.validate()]
    return types, [names_in_json[attribute] for attribute in missing]


@cache
def _value(kind: str) -> Value:
    """What msrest calls such a kind: `int`, `[int]`, `{int}`, or the name of a class."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind.startswith('['):
        return ListOf(_value(kind[1:-1]))
    if kind.startswith('{'):
        return AnyObject()
    if issubclass(getattr(models, kind), Enum):
        return OneOf(tuple(word.value for word in getattr(models, kind)))
    return shape_of(kind)
