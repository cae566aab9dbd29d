"""The site that `make docs` builds with Sphinx."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "pyshim"))

import reflex_orm

project = "reflex-orm"
author = "the authors of reflex-orm"
copyright = author  # noqa: A001 - Sphinx's name
release = version = reflex_orm.__version__
html_title = f"reflex-orm {release}"
html_theme = "furo"
html_baseurl = "https://reflex-dev.github.io/reflex-orm/"
html_theme_options = {
    "source_repository": "https://github.com/reflex-dev/reflex-orm/",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sourcelink = False
html_copy_source = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = True
nitpick_ignore_regex = [  # the pages of others are not fetched
    ("any", r"sqlalchemy\..*|contextvars|(Async)?Connection"),
    ("py:class", r"(sqlalchemy|collections|_options)\..*"),  # the last is private
]
default_role = "any"
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
myst_heading_anchors = 3
suppress_warnings = ["myst.strikethrough"]
exclude_patterns = ["requirements.txt"]
