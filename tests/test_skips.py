"""No skip passes in silence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULE = """
import pytest

{}

def test_something():
    assert True
"""


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("", True),
        ('pytestmark = pytest.mark.skip(reason="needs a GPU")', True),
        ('pytestmark = pytest.mark.skip(reason="flaky")', False),
        ('pytestmark = pytest.mark.skipif(True, reason="flaky")', False),
        ('pytestmark = pytest.mark.xfail(reason="flaky", strict=False)', False),
        ('pytest.importorskip("no_such_package")', False),
        ('pytest.skip("needs a GPU", allow_module_level=True)', True),
        ("def test_more():\n    pytest.skip('not now')", False),
        ("@pytest.mark.xfail(reason='flaky', strict=False)\ndef test_more():\n    assert False", False),
    ],
)
def test_only_permitted_reasons_pass(code, passes, tmp_path):
    for name in ("conftest.py", "permitted_skips.txt"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "test_module.py").write_text(MODULE.format(code), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in ({0, 5} if passes else {1, 2}), done.stdout
    assert ("does not permit" in done.stdout) != passes
