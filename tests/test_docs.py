"""Every Python block of the README and of the documentation runs; every relative link resolves."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A block, and the output that a text block right after it states.
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n?```text\n(.*?)```)?", re.DOTALL)
FENCED = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str | None]]:
    return [(code, output or None) for code, output in BLOCK.findall(page.read_text("utf-8"))]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_the_blocks_of_a_page_run_and_print_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (code, expected) in enumerate(blocks(page), 1):
        printed = io.StringIO()
        source = compile(code, f"{page.name}, block {number}", "exec")
        with contextlib.redirect_stdout(printed):
            exec(source, {"__name__": "__main__"})
        if expected is not None:
            assert printed.getvalue().split() == expected.split(), f"{page.name}, block {number}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, built as GitHub builds them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_relative_links_resolve(page):
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_there_are_blocks_to_run():
    assert sum(len(blocks(page)) for page in PAGES) > 10
