"""The documents name what there is: every route, every public name, every file that they link to."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from tb_netviz_plugin.routes import ROUTES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HTTP_API = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

PUBLIC = {"tb_netviz.pytorch": ["FindingError", "LiveFinding", "NetVizWriter", "Watch", "watch"]}


def test_every_route_has_its_line_in_the_http_api_in_the_same_order():
    assert re.findall(r"^\| `(\w+)` \|", HTTP_API, flags=re.MULTILINE) == list(ROUTES)


@pytest.mark.parametrize("route", ["runs", "run", "series", "findings"])
def test_a_route_whose_answer_is_long_has_its_heading(route):
    assert f"\n## {route}\n" in HTTP_API


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    text = document.read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)#]+)\)", text), *re.findall(r'(?:src|srcset)="([^"]+)"', text)]
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_all_holds_the_public_names(name):
    module = import_module(name)
    assert sorted(module.__all__) == PUBLIC[name]
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_ten_lines_of_the_readme_are_those_of_the_example():
    (block,) = re.findall(r"(?:^    .*\n|^\n)+", README.split("## Use it\n")[1].split("\nThen ")[0], flags=re.MULTILINE)
    lines = [line[4:].split("#")[0].rstrip() for line in block.strip("\n").splitlines()]
    example = (ROOT / "examples" / "pytorch_minimal.py").read_text(encoding="utf-8")
    ast.parse("\n".join(lines))
    statements = {line.strip() for line in example.splitlines()}
    own = {line.strip() for line in lines if line.strip()} - {'with NetVizWriter("runs/digits") as writer:'}
    assert own <= statements
