# SPDX-License-Identifier: Apache-2.0
"""What the documents point to exists, and every model that ships says where it comes from."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/src/*/README.md")])
MODELS = sorted(ROOT.glob("models/*.safetensors"))

CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# [text](target), ![text](target "title"), [name]: target, and HTML's src and href
TARGETS = re.compile(r"""\]\(<?([^)>\s]+)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=["']([^"']+)["']""", re.MULTILINE)


def relative_targets(text: str) -> list[str]:
    """Files that a document links to or shows, without what stands in code."""
    targets = [next(filter(None, groups)) for groups in TARGETS.findall(CODE.sub("", text))]
    files = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    return [file for file in files if file]


def test_targets_are_found_in_all_their_forms():
    text = """[a](docs/a.md#part) ![b](<b.png>) [![c](c.svg)](d.md "title") [web](https://example.com) [e](#below)
<img src="f.png"> `[g](g.md)`

[h]: h.md
"""
    assert sorted(relative_targets(text)) == ["b.png", "c.svg", "d.md", "docs/a.md", "f.png", "h.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_images_exist(path):
    targets = relative_targets(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_models_have_a_card(path):
    assert path.with_suffix(".yaml").is_file()
