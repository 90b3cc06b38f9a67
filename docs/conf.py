"""How Sphinx makes the site of these pages: MyST reads the Markdown, Furo lays it out. ``make docs`` runs it.

What a reader could stumble over is a warning, and with ``-W`` an error: a link to a page, heading or file that is not
there (myst), and a page that ``index.md`` names nowhere (toctree).
"""

project = "textmill"
extensions = ["myst_parser"]
exclude_patterns = ["figures"]
myst_heading_anchors = 4  # links to headings are written as on GitHub: page.md#the-heading
suppress_warnings = ["myst.header"]  # pages that benchmarks write leave a level out
highlight_language = "none"  # indented blocks are terminals, pictures and TOML

html_theme = "furo"
html_title = "textmill"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Pages are read from disk, too: nothing but themselves, and no foot that names what made them.
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
