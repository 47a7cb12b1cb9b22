"""What a module keeps to itself no other module uses."""

import ast
from pathlib import Path

import pytest

from tests.support.distributions import ROOT

PACKAGES = [ROOT / "tb_netviz_plugin", ROOT / "exporters" / "tb_netviz"]
SOURCES = [path for package in PACKAGES for path in package.rglob("*.py")]


def is_module(name):
    *folders, stem = name.split(".")
    return any(list((root / Path(*folders)).glob(f"{stem}.*")) for root in (ROOT, ROOT / "exporters"))


def borrowed(path):
    """Yield the private names of our modules that a source file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tb_netviz"):
            for alias in node.names:
                if alias.name.startswith("_") and not is_module(f"{node.module}.{alias.name}"):
                    yield f"{node.module}.{alias.name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_imports_a_private_name_of_another(path):
    assert list(borrowed(path)) == []
