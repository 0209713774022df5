"""How Sphinx builds the site: ``make docs``. It asks nothing of the network."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Importing Airflow makes a home for it, which must not be the builder's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="braze-provider-docs-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
sys.path.insert(0, str(Path(__file__).parent))

from airflow_provider_braze import __version__  # noqa: E402

project = "Braze messaging for Apache Airflow"
copyright = "the authors, Apache-2.0"  # noqa: A001 (Sphinx's name)
version = release = __version__

extensions = ["sphinx.ext.autodoc", "myst_parser", "sphinx_copybutton", "all_parameters", "emulator_tables"]
exclude_patterns = ["_build"]
nitpicky = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "Braze messaging for Airflow"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False
# A prompt is no part of what is copied.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
