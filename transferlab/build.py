"""Dataclasses from plain values, such as Hydra composes and records hold, with one line for what does not fit."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from transferlab.errors import nearest, require

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of dataclass ``cls`` from plain ``values``; ``where`` is its place in the config.

    Raises :class:`UserError` for an unknown or missing key, a wrong type or a value that is not allowed.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        require(
            key in fields,
            f"{where}.{key}: no such key; allowed are {', '.join(fields) or '(none)'}{nearest(key, fields)}",
        )
    given = {key: convert(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    for key, f in fields.items():
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        require(key in given or not needed, f"{where}.{key}: a value is needed")
    return cls(**given)


def convert(value: Any, hint: Any, where: str) -> Any:
    """``value`` as ``hint`` asks for. Raises :class:`UserError` where it is of another type; ``where`` is its place."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        allowed = [str(a) for a in typing.get_args(hint)]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        require(text in allowed, f"{where}={value}: allowed are {', '.join(allowed)}{nearest(text, allowed)}")
        return text
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return None if value is None else convert(value, kinds[0], where)
    if origin is list:
        require(isinstance(value, list | tuple), f"{where}={value}: a list is needed")
        return [convert(item, typing.get_args(hint)[0], where) for item in value]
    if origin is dict:
        require(isinstance(value, dict), f"{where}={value}: a mapping is needed")
        return {str(key): convert(item, typing.get_args(hint)[1], f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        require(isinstance(value, dict), f"{where}={value}: a mapping is needed")
        return build(typing.cast(type, hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    kind = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint, str(hint))
    text = f"; if it is one, put quotes around it: '{'null' if value is None else str(value).lower()}'" * (hint is str)
    require(fits, f"{where}={value}: {kind} is needed{text}")
    require(hint is not float or math.isfinite(value), f"{where}={value}: a finite number is needed")
    return value
