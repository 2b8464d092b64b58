"""Configs: YAML values become frozen, validated models; every error at once, with its full path.

A config file states values only. `extends: base` takes another file of the same folder and
overrides it key by key; a component whose `name` differs replaces the inherited one whole.
"""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
)

from audiovq import registry
from audiovq.errors import ConfigError

MAX_CONFIG_BYTES = 1 << 23  # a page of text, and at most the names of 10,000 speakers


class Config(BaseModel):
    """Base of every config: frozen, unknown keys refused. Declare each field with a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ComponentConfig(Config):
    """Base of the `Config` in a component file; `name` is the file's stem, as typed."""

    name: str = Field("", description="the file's stem")


class _ComponentOf:
    """Marks a field as a component of one kind, so that help and errors can look inside."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


Factor = Annotated[int, Field(ge=1, le=1024)]  # a stride or dilation

ConfigT = TypeVar("ConfigT", bound=Config)


def _build(kind: str, value: Any) -> Any:
    if isinstance(value, ComponentConfig):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError(  # noqa: TRY004  (pydantic collects ValueErrors)
            f"a mapping with a `name`, one of: {', '.join(registry.names(kind))}"
        )
    try:
        component = registry.get(kind, value["name"])
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return component.config.model_validate(dict(value))  # type: ignore[attr-defined]


def component(kind: str) -> Any:
    """Return the type of a config field that holds a component, e.g. `component("bottlenecks")`.

    In YAML the field is a mapping `{name: vq_ema, ...}` or the bare name; the rest is checked by
    the `Config` of that component's file.
    """
    return Annotated[
        SerializeAsAny[ComponentConfig], BeforeValidator(partial(_build, kind)), _ComponentOf(kind)
    ]


def parse(model: type[ConfigT], values: Mapping[str, Any], source: str = "config") -> ConfigT:
    """Validate plain values into a config.

    Args:
        model: the config class.
        values: nested mapping, as read from YAML or JSON.
        source: what to call the values in an error.

    Raises:
        ConfigError: names every unknown key and unaccepted value, in one line.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, values, e) for e in _flatten(error)]
        raise ConfigError(f"{source}: {'; '.join(lines)}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML file, following `extends`; returns plain nested values.

    Raises:
        ConfigError: missing, not YAML, not a mapping, too large, or `extends` runs in a circle.
    """
    return _read_yaml(Path(path), ())


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key.path=value` assignments, in order; values are read as YAML.

    Raises:
        ConfigError: an assignment has no `=`, or goes through a key that is a plain value.
    """
    result = dict(values)
    for text in assignments:
        key, equals, raw = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"{text!r} is not of the form key=value, as in train.max_steps=100")
        try:
            value = yaml.safe_load(raw)
        except (yaml.YAMLError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise ConfigError(f"the value in {text!r} is not YAML: {why}") from None
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merge(result, value)
    return result


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, mapping by mapping.

    A mapping whose `name` changes is another component: the inherited values are dropped.
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, str) and isinstance(value, Mapping) and "name" not in value:
            old = {"name": old}  # `bottleneck: vq_ema` overridden by `bottleneck.decay=0.9`
        if not isinstance(old, Mapping) or not isinstance(value, Mapping):
            result[key] = value
        elif "name" in value and value["name"] != old.get("name"):
            result[key] = dict(value)
        else:
            result[key] = merge(old, value)
    return result


def to_yaml(config: Config) -> str:
    """Return a config as YAML that `parse` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_yaml(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"`extends` runs in a circle: {' -> '.join(p.name for p in seen)}")
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes: not a config")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(k, str) for k in values):
        raise ConfigError(f"{path} must hold `key: value` lines")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str) or "/" in parent or "\\" in parent:
        raise ConfigError(f"{path}: `extends` takes the name of a config beside it")
    return merge(_read_yaml(path.with_name(f"{parent}.yaml"), (*seen, path)), values)


def _flatten(error: ValidationError, prefix: tuple[int | str, ...] = ()) -> list[dict[str, Any]]:
    """List the errors of a validation, those of components nested inside it included."""
    flat: list[dict[str, Any]] = []
    for item in error.errors(include_url=False):
        loc = (*prefix, *item["loc"])
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            flat += _flatten(inner, loc)
        else:
            flat.append({**item, "loc": loc})
    return flat


def _explain(model: type[Config], values: Any, error: Mapping[str, Any]) -> str:
    """Say one error in one line: path, what was given, what is accepted, the nearest name."""
    loc = error["loc"]
    path = ".".join(str(p) for p in loc) or "(top level)"
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, values, loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = "" if isinstance(given, Mapping) else f"{reprlib.repr(given)} given; "
    return f"{path}: {shown}{message[0].lower()}{message[1:]}"


def _fields_at(model: type[Config], values: Any, loc: Sequence[int | str]) -> list[str]:
    """Return the field names of the config found by walking `loc` from `model`."""
    current: Any = model
    marks: list[Any] = []
    for part in loc:
        if isinstance(part, int):  # one of several components
            marks = [m for m in get_args(current) for m in get_args(m)]
            values = values[part] if isinstance(values, list | tuple) else None
        else:
            field = getattr(current, "model_fields", {}).get(part)
            values = values.get(part) if isinstance(values, Mapping) else None
            if field is None:
                return []
            current, marks = field.annotation, field.metadata
        kinds = [m.kind for m in marks if isinstance(m, _ComponentOf)]
        if kinds and isinstance(values, Mapping):
            current = registry.get(kinds[0], values["name"]).config
    return sorted(getattr(current, "model_fields", {}))
