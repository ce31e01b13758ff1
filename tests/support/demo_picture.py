"""`make demo-picture`: run the demo and draw what it prints as docs/images/demo.svg."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "demo.svg"
COLUMNS = 82
# Rich's own frame loads fonts from another site, which an image in a page is not allowed to do.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}"
  xmlns="http://www.w3.org/2000/svg" role="img">
<title>make demo</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture(printed: str) -> str:
    """Return an SVG of a terminal with a text; its dark background suits light and dark pages."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text("$ make demo", style="bold"))
    for line in printed.splitlines():
        text = Text(line)
        text.highlight_regex(r"^\d+\. .*", "bold cyan")
        text.highlight_regex(r"\d+\.\d\d s\b", "green")
        text.highlight_regex(r"cc-(?:spool|sweep) [a-z]+(?: -j)? \d+|^\$ .*", "yellow")
        text.highlight_regex(r"^All is as expected\.", "bold green")
        console.print(text)
    return console.export_svg(title="make demo", theme=MONOKAI, code_format=FRAME, unique_id="demo")


def main() -> None:
    """Run the demo; write the picture if the demo succeeds."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    PICTURE.write_text(picture(done.stdout))


if __name__ == "__main__":
    main()
