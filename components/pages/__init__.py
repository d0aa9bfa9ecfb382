"""HTML pages that need nothing else: a base template and style, SVG charts, and number formats. Below the stages."""
