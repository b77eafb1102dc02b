"""What a value in a request body may be: texts, numbers, lists, objects with known properties.

Numbers and booleans may come as JSON strings, as the Azure CLI sends them: the service reads bodies
with Microsoft.Data.OData (Azure/azure-batch-cli-extensions issue 119), which converts strings for
primitive properties.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.local_azure.batch.errors import BatchError, invalid_property, not_imitated, wrong_type
from tests.local_azure.batch.model import NEVER
from tests.local_azure.batch.time_formats import SECOND, format_duration, parse_duration

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
_INTEGER = re.compile(r'\s*[+-]?[0-9]{1,20}\s*')

Rule = Callable[[dict[str, Any], str], None]


class Value(ABC):
    """The kind of a property; `literal` is the kind of literal that a $filter compares it with."""

    literal: ClassVar[str | None] = None

    @abstractmethod
    def read(self, name: str, value: object, version: str, /) -> Any:
        """The value as the account keeps it, or a BatchError if the service refuses it."""


@dataclass(frozen=True)
class Text(Value):
    """A string; `is_good` and `reason` say which."""

    literal = 'text'
    is_good: Callable[[str], object] | None = None
    reason: str = ''

    def read(self, name: str, value: object, _version: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(name)
        if self.is_good and not self.is_good(value):
            raise invalid_property(name, self.reason, value)
        return value


class Time(Text):
    """A moment; none stands in a request."""

    literal = 'time'


@dataclass(frozen=True)
class Integer(Value):
    """A 32-bit number within bounds."""

    literal = 'number'
    low: int = INT32_MIN
    high: int = INT32_MAX

    def read(self, name: str, value: object, _version: str) -> int:
        number = self._number(value)
        if number is None or not INT32_MIN <= number <= INT32_MAX:
            raise invalid_property(name, 'a 32-bit integer is expected', value)
        if not self.low <= number <= self.high:
            reason = f'the value must be between {self.low} and {self.high}'
            raise invalid_property(name, reason, value)
        return number

    def _number(self, value: object) -> int | None:
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return value
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
        return None


@dataclass(frozen=True)
class Boolean(Value):
    literal = 'bool'

    def read(self, name: str, value: object, _version: str) -> bool:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str):
            raise wrong_type(name)

        word = value.strip().lower()
        if word in ('true', '1'):
            return True
        if word in ('false', '0'):
            return False
        raise wrong_type(name)


@dataclass(frozen=True)
class Duration(Value):
    """ISO 8601, kept as the service writes it; `low` and `high` in seconds, `reason` names them."""

    literal = 'text'
    low: int = 0
    high: int | None = None
    reason: str = ''

    def read(self, name: str, value: object, _version: str) -> str:
        try:
            ticks = parse_duration(str(value))
        except ValueError as error:
            raise invalid_property(name, 'the format is ISO 8601, e.g. PT5M', value) from error

        ticks = min(ticks, NEVER)
        too_short = ticks < self.low * SECOND
        too_long = self.high is not None and ticks > self.high * SECOND
        if too_short or too_long:
            raise invalid_property(name, self.reason, value)
        return format_duration(ticks)


@dataclass(frozen=True)
class OneOf(Value):
    """One of some words, in any case; kept as they are spelt in `words`."""

    literal = 'text'
    words: tuple[str, ...]

    def read(self, name: str, value: object, _version: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(name)
        for word in self.words:
            if word.lower() == value.lower():
                return word
        raise invalid_property(name, 'the value is not one of those allowed', value)


@dataclass(frozen=True)
class ListOf(Value):
    item: Value

    def read(self, name: str, value: object, version: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type(name)
        return [self.item.read(name, item, version) for item in value]


@dataclass(frozen=True)
class AnyObject(Value):
    """An object of which nothing is known here; it is kept as it comes."""

    def read(self, name: str, value: object, _version: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(name)
        return value


@dataclass(frozen=True)
class NotImitated(Value):
    """Known to the service, refused here with 501 rather than ignored.

    Null and an empty list change nothing, and pass.
    """

    def read(self, _name: str, value: object, _version: str) -> Any:
        return value


@dataclass(frozen=True)
class Shape(Value):
    """An object with known properties, which come back in their order here.

    `since` and `until` have the first API versions that know a property, and that know it no more.
    `rule` says what values of several properties mean together, and may fill in defaults.
    """

    name: str
    properties: Mapping[str, Value]
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, str] = field(default_factory=dict)
    rule: Rule | None = None

    def read_body(self, body: object, version: str) -> dict[str, Any]:
        """What a whole body of this shape says."""
        return self.read('the body', body, version)

    def read(self, name: str, value: object, version: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(name)
        for key, item in value.items():
            self._check_name(key, item, version)
        for key in self.required:
            if value.get(key) is None:
                raise BatchError('MissingRequiredProperty', PropertyName=key)

        spec = dict(self.defaults)
        for key, item in value.items():
            if item is not None:
                spec[key] = self.properties[key].read(key, item, version)
        if self.rule:
            self.rule(spec, version)
        return {key: spec[key] for key in self.properties if key in spec}

    def _check_name(self, key: str, item: object, version: str) -> None:
        if not self.knows(key, version):
            reason = f"The property '{key[:100]}' does not exist on type '{self.name}'."
            raise BatchError('InvalidRequestBody', Reason=reason)
        is_given = item is not None and item != []
        if is_given and isinstance(self.properties[key], NotImitated):
            raise not_imitated(f'{self.name}.{key}')

    def knows(self, key: str, version: str) -> bool:
        """Whether this version has such a property."""
        if key not in self.properties:
            return False
        if key in self.since and version < self.since[key]:
            return False
        return key not in self.until or version < self.until[key]


TEXT = Text()
TIME = Time()
INTEGER = Integer()
BOOLEAN = Boolean()
DURATION = Duration()
TEXTS = ListOf(TEXT)
NOT_IMITATED = NotImitated()
