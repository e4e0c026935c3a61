"""A notebook as a page."""

from __future__ import annotations

import json
import re

_ANCHOR = re.compile(r"\]\((#[^)]+)\)")  # Jupyter keeps capitals in anchors, the site does not


def notebook_page(source: str) -> str:
    """Markdown of a notebook: its text, its code, and the text that the code printed."""
    parts = []
    for cell in json.loads(source)["cells"]:
        text = "".join(cell["source"]).rstrip()
        if cell["cell_type"] == "markdown":
            parts.append(_ANCHOR.sub(lambda link: link.group().lower(), text))
        elif text:
            parts.append(f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"
