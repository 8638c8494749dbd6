"""What the models of the agreed documents share: they are frozen, and refuse what they do not know."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

AT_PATH: Final = "at_path"
"""Kind of an error that is raised with a context `what`, and `path`: the keys and numbers where it stands."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        msg = "a name is made of a-z, 0-9 and hyphens, at most 63 of them, like north-1"
        raise ValueError(msg)
    return text


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        msg = "the name of a label, a measure or a job is made of a-z, 0-9 and _, and begins with a letter, like pm25"
        raise ValueError(msg)
    return text


Name = Annotated[str, AfterValidator(_name)]
Key = Annotated[str, AfterValidator(_key)]


class Model(BaseModel):
    """A frozen part of an agreed document; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
