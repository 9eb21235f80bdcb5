"""Sphinx's settings: `sphinx-build -W -b html docs docs/_build`."""

project = "gradagree"
author = "The gradagree maintainers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Is this gradient right?", "fixed_sidebar": True}
html_extra_path = ["record.schema.json"]
suppress_warnings = ["misc.highlighting_failure"]
