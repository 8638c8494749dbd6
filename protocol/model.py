"""What the models of the agreed documents share: they are frozen, and refuse what they do not know."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

AT_PATH: Final = "at_path"
"""Kind of an error that is raised with a context `what`, and `path`: the keys and numbers where it stands."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")


def matching(pattern: re.Pattern[str], needed: str) -> AfterValidator:
    """A text that has to match as a whole; `needed`: what is said of another one."""

    def match(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(needed)
        return text

    return AfterValidator(match)


Name = Annotated[str, matching(_NAME, "a name is made of a-z, 0-9 and hyphens, at most 63 of them, like north-1")]
Key = Annotated[
    str,
    matching(
        _KEY,
        "the name of a label, a measure or a job is made of a-z, 0-9 and _, and begins with a letter, like pm25",
    ),
]


class Model(BaseModel):
    """A frozen part of an agreed document; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
