"""Markdown that a step wrote, as HTML below the page's own headings."""

from itertools import pairwise

from markdown_it import MarkdownIt
from markupsafe import Markup

# Text from data stays text: no raw HTML, and nothing that would make a browser fetch or follow an address.
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink", "reference"])
)


def to_html(text: str, below: int = 2) -> Markup:
    """Markdown as HTML whose first heading level comes right below the page's heading level ``below``."""
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + below, 6)}"
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - markdown-it escapes


def first_paragraph(text: str) -> str:
    """The first paragraph of Markdown as plain text."""
    tokens = _MARKDOWN.parse(text)
    for before, token in pairwise(tokens):
        if before.type == "paragraph_open":
            children = token.children or []
            return "".join(" " if child.type == "softbreak" else child.content for child in children)
    return ""
