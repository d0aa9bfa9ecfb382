"""A page from a template: HTML that fetches nothing and runs no script, so that it also shows in Kubeflow's frame."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from loopline.components.pages import formatting
from loopline.components.pages.metric_names import metric_heading, metric_name, metric_value

TEMPLATES = Path(__file__).with_name("templates")


def render(templates: Path, name: str, **values: Any) -> str:
    """The page of a template; text in its values is escaped, markup is not.

    Args:
        templates: folder of the template, beside which those of this package are found: ``base.html.j2``, which it
            extends, and ``macros.html.j2``.
        name: of the template.
        values: what the template refers to.
    """
    return _environment(templates).get_template(name).render(**values)


@cache
def _environment(templates: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        fmt=formatting, metric_name=metric_name, metric_heading=metric_heading, metric_value=metric_value
    )
    return environment
