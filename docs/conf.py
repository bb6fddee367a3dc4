"""The site: `make docs` builds it into build/docs, and fails at the first warning."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "keras_softmaxes"
author = "The keras_softmaxes developers"
copyright = author
version = release = metadata.version("keras-softmaxes")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "_extensions.coverage",
    "_extensions.docstrings",
    "_extensions.links",
    "_extensions.mathml",
    "_extensions.notebooks",
    "_extensions.results",
]
nitpicky = True
nitpick_ignore_regex = [(".*", r"(?!keras_softmaxes\.).*|.*\._.*")]  # types of others, private ones

myst_enable_extensions = ["deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3

autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
default_role = "code"
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    "Input",
    "Input and output",
    "Output",
    ("Reference", "References"),
]
napoleon_attr_annotations = False
napoleon_use_ivar = True
napoleon_use_rtype = False

templates_path = ["_templates"]
html_theme = "furo"
html_title = f"keras_softmaxes {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
pygments_dark_style = "monokai"
copybutton_prompt_text = ">>> "
