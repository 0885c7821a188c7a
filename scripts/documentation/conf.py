"""Sphinx's configuration of the documentation."""

from monai_supmix.version import __version__

project = "MONAI-SupMix"
author = "the authors of MONAI-SupMix"
project_copyright = author
release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "myst_parser"]
exclude_patterns = ["documentation"]
html_theme = "furo"
html_title = f"MONAI-SupMix {release}"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]  # links to files of the repository
autodoc_typehints = "none"  # signatures stay short; the docstrings give shapes and ranges
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
