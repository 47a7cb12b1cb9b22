"""Each integration needs its library, and only then."""

import importlib
import subprocess
import sys

import pytest

INTEGRATIONS = "tb_netviz.pytorch.integrations"


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("lightning", ["lightning", "pytorch_lightning"]),
        ("transformers", ["transformers"]),
        ("accelerate", ["accelerate", "accelerate.state", "accelerate.tracking", "accelerate.utils"]),
    ],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, library, packages):
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"{INTEGRATIONS}.{library}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'tb-netviz-plugin\[{library}\]'"):
        importlib.import_module(f"{INTEGRATIONS}.{library}")


def test_pytorch_alone_imports_none_of_them():
    script = (
        f"import sys, tb_netviz.pytorch, {INTEGRATIONS}\n"
        "print(*{'lightning', 'pytorch_lightning', 'transformers', 'accelerate', 'tensorflow'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
