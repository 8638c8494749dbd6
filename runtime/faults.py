"""Say what pydantic found wrong in the words of a person who edits the file: one sentence, and what to do."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from protocol.model import AT_PATH
from runtime.locate import KeyPath
from runtime.secret import CLEAR_TEXT

_Toml: TypeAlias = Any  # what tomllib returns
_Form: TypeAlias = Any  # an annotation, as typing has no name for it

_AT_KEY = "at_key"
_NAMING_KEYS = ("name", "topic")  # what tells the tables of one array apart; neither is secret

_NEEDED = {
    "string_type": 'a text in quotes is needed here, like {key} = "..."',
    "int_type": "a whole number is needed here, without quotes, like {key} = 3",
    "int_from_float": "a whole number is needed here, without quotes, like {key} = 3",
    "bool_type": "true or false is needed here, without quotes, like {key} = true",
    "float_type": "a number is needed here, without quotes, like {key} = 0.5",
    "decimal_type": "a number is needed here, without quotes, like {key} = 0.5",
    "is_instance_of": "a number is needed here, without quotes, like {key} = 0.5",
    "tuple_type": 'a list is needed here, like {key} = ["...", "..."]',
    "list_type": 'a list is needed here, like {key} = ["...", "..."]',
    "dict_type": "a table is needed here, like [{key}]",
    "model_type": "a table is needed here, like [{key}]",
    "string_too_short": "this text is too short",
    "too_short": "at least {min_length} of them are needed here",
    "too_long": "at most {max_length} of them are possible here",
    "greater_than_equal": "at least {ge} is needed here",
    "greater_than": "more than {gt} is needed here",
    "less_than_equal": "at most {le} is possible here",
    "less_than": "less than {lt} is needed here",
    "string_pattern_mismatch": "this text does not have the form that is needed here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a file: its place as a path of keys, one sentence, and what to do about it."""

    path: KeyPath
    what: str
    remedy: str | None = None


def fault(key: str, what: str, remedy: str = "") -> PydanticCustomError:
    """Return what a model's validator raises to blame one of its keys: `raise fault("url", "...", "...")`.

    `what` continues the sentence that begins with the key, such as "needs a port". Neither text may hold a secret.
    """
    return PydanticCustomError(_AT_KEY, "{what}", {"key": key, "what": what, "remedy": remedy})


def faults_of(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> list[Fault]:
    """Translate all that pydantic found, at most one fault for each place."""
    found: dict[KeyPath, Fault] = {}
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        one = _fault(detail, model, data)
        found.setdefault(one.path, one)
    # A union reports each of its forms: what was found inside the table says more than "a text is needed here".
    deeper = {path[:length] for path in found for length in range(len(path))}
    return [one for path, one in found.items() if path not in deeper or len(found) == 1] or list(found.values())


def _fault(  # noqa: PLR0911  one return for each kind of fault
    detail: ErrorDetails, model: type[BaseModel], data: Mapping[str, Any]
) -> Fault:
    kind, context = detail["type"], detail.get("ctx", {})
    path = _real_path(detail["loc"], data, missing=kind == "missing")
    if kind == _AT_KEY:
        path = (*path, context["key"]) if _has(data, (*path, context["key"])) else path
        return Fault(
            path=path, what=f"{_named(path, data, context['key'])} {context['what']}", remedy=context["remedy"] or None
        )
    key = next((part for part in reversed(path) if isinstance(part, str)), "the file")
    name = _named(path, data)
    if kind == "extra_forbidden":
        return _unknown_key(path, model, data)
    if kind == "missing":
        return Fault(path=path, what=f"{name} is missing", remedy=_missing_remedy(path, model, data))
    if kind == CLEAR_TEXT:
        places = f'a file ({key} = "file:{_file_for(path)}") or the environment ({key} = "env:{_variable_for(path)}")'
        change = f"If this file has been shared or committed, change the {key.replace('_', ' ')} first."
        return Fault(path=path, what=f"{name} is written in clear text", remedy=f"Put it into {places}.\n{change}")
    if kind == "literal_error":
        allowed = [choice for choice in _choices(_annotation_at(path, model, data)) if isinstance(choice, str)]
        remedy = _did_you_mean(str(_value_at(data, path)), allowed)
        choices = ", ".join(f'"{choice}"' for choice in allowed) or str(context.get("expected", ""))
        return Fault(
            path=path, what=f"{name}: this is not one of the possible values", remedy=f"{remedy}Possible: {choices}."
        )
    if kind == AT_PATH:
        return Fault(path=(*path, *context["path"]), what=context["what"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(path, context, data)
    text = _NEEDED.get(kind)
    if text is not None:
        return Fault(
            path=path, what=f"{name}: {text.format(key=key, **{k: v for k, v in context.items() if k != 'key'})}"
        )
    message = detail["msg"].removeprefix("Value error, ")
    return Fault(path=path, what=f"{name}: {message[:1].lower()}{message[1:]}")


def _wrong_tag(path: KeyPath, context: Mapping[str, Any], data: Mapping[str, Any]) -> Fault:
    """A table whose kind is told by one of its keys, like job in [[joint]]: there is no such kind, or none is said."""
    key = str(context["discriminator"]).strip("'")
    name = _named((*path, key), data)
    if "tag" not in context:
        return Fault(path=path, what=f"{name} is missing", remedy="It says what kind of table this is.")
    allowed = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
    remedy = _did_you_mean(str(context["tag"]), allowed)
    return Fault(
        path=(*path, key),
        what=f"{name}: this is not one of the possible values",
        remedy=f"{remedy}Possible: {', '.join(allowed)}.",
    )


def _unknown_key(path: KeyPath, model: type[BaseModel], data: Mapping[str, Any]) -> Fault:
    key = str(path[-1])
    known = list(_keys(_model_of(_annotation_at(path[:-1], model, data))))
    remedy = _did_you_mean(key, known)
    elsewhere = _home_of(key, model)
    if not remedy and elsewhere is not None and elsewhere != path[:-1]:
        place = f"[{'.'.join(map(str, elsewhere))}]" if elsewhere else "the top of the file, before the first [table]"
        remedy = f"It belongs into {place}.  "
    table = f" in {_table(path[:-1], data)}" if len(path) > 1 else ""
    return Fault(path=path, what=f'unknown key "{key}"{table}', remedy=f"{remedy}Known here: {', '.join(known)}.")


def _did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f'Did you mean "{close[0]}"?  ' if close else ""


def _missing_remedy(path: KeyPath, model: type[BaseModel], data: Mapping[str, Any]) -> str | None:
    owner = _model_of(_annotation_at(path[:-1], model, data))
    field = next((field for name, field in _fields(owner) if name == path[-1]), None)
    if field is None:
        return None
    example = f"  Example: {path[-1]} = {field.examples[0]}" if field.examples else ""
    about = f"{field.description[:1].upper()}{field.description[1:]}." if field.description else "It has no default."
    return f"{about}{example}"


def _named(path: KeyPath, data: Mapping[str, Any], key: str | None = None) -> str:
    """Name a key for a person: `[mqtt] password`, `[[source]] "air/{station}" time`, `name`."""
    own = key or next((str(part) for part in reversed(path) if isinstance(part, str)), "this file")
    owner = path[:-1] if path and (key is None or path[-1] == key) else path
    while owner and isinstance(path[-1], int) and isinstance(owner[-1], str):
        if isinstance(_value_at(data, path), dict):
            return _table(path, data)
        owner = owner[:-1]  # an element of a list is named by the list
        break
    return f"{_table(owner, data)} {own}" if owner else own


def _table(path: KeyPath, data: Mapping[str, Any]) -> str:
    """Name a table as it is written: `[mqtt]`, `[[source]] "air/{area}/{station}"`."""
    dotted = ".".join(str(part) for part in path if isinstance(part, str))
    numbered = next((end for end in range(len(path), 0, -1) if isinstance(path[end - 1], int)), None)
    if numbered is None:
        return f"[{dotted}]"
    element = _value_at(data, path[:numbered])
    names = (element.get(key) for key in _NAMING_KEYS) if isinstance(element, dict) else ()
    name = next((f'"{name}"' for name in names if isinstance(name, str)), f"number {int(path[numbered - 1]) + 1}")
    return f"[[{dotted}]] {name}" if numbered == len(path) else f"[{dotted}] of {name}"


def _real_path(loc: Iterable[str | int], data: _Toml, *, missing: bool) -> KeyPath:
    """Drop what pydantic adds for unions and validators; what stays stands in the file, or is missing there."""
    path: list[str | int] = []
    parts = list(loc)
    for number, part in enumerate(parts):
        inside = (
            part in data
            if isinstance(data, dict)
            else isinstance(data, tuple) and isinstance(part, int) and part < len(data)
        )
        if inside:
            data = data[part]
            path.append(part)
        elif missing and number == len(parts) - 1:
            path.append(part)
    return tuple(path)


def _value_at(data: _Toml, path: KeyPath) -> _Toml:
    for part in path:
        data = data[part]
    return data


def _has(data: _Toml, path: KeyPath) -> bool:
    try:
        _value_at(data, path)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _forms(annotation: _Form) -> list[_Form]:
    """Return the forms of an annotation: without Annotated, a union taken apart."""
    origin: _Form = get_origin(annotation)
    if origin is Annotated:
        return _forms(get_args(annotation)[0])
    if origin in (types.UnionType, Union):
        return [form for part in get_args(annotation) for form in _forms(part)]
    return [annotation]


def _model_of(annotation: _Form) -> type[BaseModel] | None:
    return next((form for form in _forms(annotation) if isinstance(form, type) and issubclass(form, BaseModel)), None)


def _choices(annotation: _Form) -> tuple[Any, ...]:
    return tuple(choice for form in _forms(annotation) for choice in get_args(form))


def _annotation_at(path: KeyPath, model: type[BaseModel], data: _Toml) -> _Form:
    """Return the type that the model gives to the value at `path`."""
    annotation: _Form = model
    for part in path:
        owner = _model_of(annotation)
        if owner is not None and isinstance(part, str):
            annotation = next((field.annotation for name, field in _fields(owner) if name == part), None)
            continue
        inner = [get_args(form) for form in _forms(annotation) if get_args(form)]
        annotation = None if not inner else inner[0][1] if isinstance(part, str) and len(inner[0]) > 1 else inner[0][0]
    return annotation


def _fields(model: type[BaseModel] | None) -> list[tuple[str, FieldInfo]]:
    return [] if model is None else [(field.alias or name, field) for name, field in model.model_fields.items()]


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [name for name, _ in _fields(model)]


def _home_of(key: str, model: type[BaseModel]) -> KeyPath | None:
    """Return the table that knows `key`: a key after a [table] line belongs to that table, which surprises people."""
    if key in _keys(model):
        return ()
    return next(((name,) for name, field in _fields(model) if key in _keys(_model_of(field.annotation))), None)


def _file_for(path: KeyPath) -> str:
    parts = [str(part) for part in path if isinstance(part, str)]
    return ".".join(parts[-2:])


def _variable_for(path: KeyPath) -> str:
    parts = [str(part) for part in path if isinstance(part, str)]
    return "_".join(parts[-2:]).upper().replace("-", "_")
