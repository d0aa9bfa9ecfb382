"""Markdown that a step wrote, as HTML below the page's own headings."""

from markdown_it import MarkdownIt
from markupsafe import Markup

# Text from data stays text: no raw HTML, and nothing that would make a browser fetch or follow an address.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink", "reference"])


def render(text: str, below: int = 3) -> Markup:
    """Markdown as HTML whose first heading level comes right below the page's heading level ``below``."""
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + below, 6)}"
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - markdown-it escapes


def first_sentence(text: str) -> str:
    """The first line of Markdown that is neither heading nor table, without its marks."""
    for token in _MARKDOWN.parse(text):
        if token.type == "inline" and token.level == 1 and token.map and not _is_heading(text, token.map[0]):
            return "".join(child.content for child in token.children or [] if child.type in {"text", "code_inline"})
    return ""


def _is_heading(text: str, line: int) -> bool:
    return text.splitlines()[line].lstrip().startswith("#")
