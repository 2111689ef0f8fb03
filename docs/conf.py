"""Sphinx's settings: Markdown pages, no autodoc. `make docs` builds them into site/."""

project = "Django and MySQL, one budget"
author = "the maintainers"

extensions = ["myst_parser"]
myst_heading_anchors = 3  # [text](page.md#a-heading) works, and a wrong one is an error
nitpicky = True

html_theme = "furo"
html_title = project

# `make docs-links`: an example of the reader's own site.
linkcheck_ignore = [r"http://my-shop\.staging\.example\.com/"]
