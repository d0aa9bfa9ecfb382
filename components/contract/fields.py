"""The types of values in usecase.yaml."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from loopline.components.contract.duration import parse_duration

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
