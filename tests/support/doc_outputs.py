"""`make doc-outputs`: update the outputs of the documentation's examples where they changed."""

from __future__ import annotations

import dataclasses

from doc_pages import PAGES, blocks, is_as_shown
from doc_worlds import WORLDS, world


def main() -> None:
    """Run every example in its world and write changed outputs to the pages."""
    for name in WORLDS:
        with world(name) as stage:
            for page in PAGES:
                text = page.read_text()
                for block in blocks(page):
                    if block.reason is None and block.world == name:
                        steps = [
                            step
                            if is_as_shown(step.output, printed := stage.shell(step.command))
                            else dataclasses.replace(step, output=printed)
                            for step in block.steps
                        ]
                        new = "".join(step.text() for step in steps)
                        text = text.replace(block.text, new, 1)
                page.write_text(text)


if __name__ == "__main__":
    main()
