"""YAML files that people write, read into strict sections: an unknown key is an error."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from loopline.components.errors import LooplineError


class Strict(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Section = TypeVar("Section", bound=Strict)


def read_yaml(path: Path, section: type[Section]) -> Section:
    """Read a YAML file and check it.

    Args:
        path: the file.
        section: its schema.

    Raises:
        LooplineError: it is not YAML, or a value is wrong; the message names the key and, for a typo, the likely one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LooplineError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    return parse_yaml(text, str(path), section)


def parse_yaml(text: str, path: str, section: type[Section]) -> Section:
    """Read YAML and check it.

    Args:
        text: the YAML.
        path: where it comes from, for errors.
        section: its schema.

    Raises:
        LooplineError: it is not YAML, or a value is wrong; the message names the key and, for a typo, the likely one.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise LooplineError(f"{path}{where} is not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(raw, dict):
        raise LooplineError(f"{path} is empty; it needs the sections {', '.join(_keys(section))}")
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_explain(problem, section) for problem in error.errors()[:5])
        raise LooplineError(f"{path}: {problems}") from error


def _explain(problem: Any, section: type[Strict]) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "top level"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(problem["loc"][:-1], section)
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}"


def _keys_at(location: tuple[int | str, ...], section: type[Strict]) -> list[str]:
    """The keys that the section at a location of a file may have."""
    here: Any = section
    for part in location:
        if _is_section(here):
            fields = {field.alias or name: field.annotation for name, field in here.model_fields.items()}
            here = fields.get(str(part))
        else:  # inside dict[str, Section] or tuple[Section, ...]: step over the key or index
            here = _section_within(here)
    here = here if _is_section(here) else _section_within(here)  # an optional section
    return _keys(here) if here else []


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_within(annotation: Any) -> Any:
    """The section in ``dict[str, Section]``, ``tuple[Section, ...]`` or ``Section | None``."""
    return next((argument for argument in getattr(annotation, "__args__", ()) if _is_section(argument)), None)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
