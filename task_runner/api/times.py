"""Points in time in a query: RFC 3339, with a zone."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

EXAMPLE = "2026-11-24T09:00:00Z"


def _is_written_out(value: object) -> object:
    """Refuse a number, which pydantic takes for seconds since the epoch."""
    if isinstance(value, str) and not re.match(r"[0-9]{4}-", value):
        raise PydanticCustomError("time", f"it must be a time, as in {EXAMPLE}")
    return value


def _has_a_zone(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise PydanticCustomError("time", f"the time needs a zone, as in {EXAMPLE}")
    return time


Time = Annotated[datetime, BeforeValidator(_is_written_out), AfterValidator(_has_a_zone)]
