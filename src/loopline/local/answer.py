"""What a step decided, and why: read from its outputs as its declaration says."""

import json
from pathlib import Path

from loopline.compiler import steps
from loopline.local.records import DECISION, StepRecord


def read_answer(step: StepRecord) -> tuple[bool, str]:
    """Whether a finished step decided against something, and its reason; empty for a step that gives none."""
    facts = steps.facts(step.stage, step.component)
    output = step.outputs.get(facts.reason)
    return step.values.get(DECISION) in facts.refusals, _reason(Path(output.uri)) if output else ""


def _reason(path: Path) -> str:
    """The ``reason`` of a JSON file, or the first paragraph of Markdown."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    try:
        value = json.loads(text)
    except ValueError:
        paragraphs = (" ".join(block.split()) for block in text.split("\n\n"))
        return next((block for block in paragraphs if block and not block.startswith(("#", "{"))), "")
    return str(value.get("reason", "")) if isinstance(value, dict) else ""
