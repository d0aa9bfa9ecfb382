"""What only the owners of a model can state, for its card: a use case states it in its card.md."""

import re
from pathlib import Path

from loopline.components.errors import LooplineError

FILE = "card.md"
# One ``- Item: text`` per line of the file; other lines are comments.
ITEMS = (
    "Developer",
    "License",
    "Out-of-scope uses",
    "Users",
    "Data sources",
    "Baseline",
    "Known weaknesses",
    "Protected groups",
    "Privacy",
    "Owner",
    "Feedback",
)


class Statements:
    """What the owners of a use case state in its card.md; an item that is missing says where to write it.

    Args:
        file: the card.md, which need not exist.
        shown: the path of that file as the card shows it, the same on every machine.

    Raises:
        LooplineError: the file states an unknown item.
    """

    def __init__(self, file: Path, shown: str) -> None:
        self._shown = shown
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        self._items = dict(re.findall(r"^- ([^:\n]+):[ \t]*(\S.*)$", text, flags=re.MULTILINE))
        for item in self._items:
            if item not in ITEMS:
                raise LooplineError(f"{shown} states '{item}', but the items of a card are {', '.join(ITEMS)}")

    def line(self, item: str) -> str:
        """The item as a line of the card."""
        missing = f"_not stated; write `- {item}: ...` in {self._shown}_"
        return f"- {item}: {self._items.get(item, missing)}"
