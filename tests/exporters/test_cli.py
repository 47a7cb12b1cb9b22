"""The command line, run as a user runs it."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.support.distributions import ROOT
from tests.support.runs import write_run
from tests.support.unitruns import OFF, Modelled, write_modelled


def tb_netviz(*arguments, cwd, without=()):
    """Run the command; imports of the packages `without` fail as if they were not installed."""
    blocked = cwd / "blocked"
    blocked.mkdir(exist_ok=True)
    finder = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {tuple(without)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
    (blocked / "sitecustomize.py").write_text(finder, encoding="utf-8")
    paths = [str(blocked), str(ROOT), str(ROOT / "exporters")]
    command = [sys.executable, "-c", "import sys; from tb_netviz.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_the_commands(tmp_path):
    done = tb_netviz("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert "units" in done.stdout
    assert "check" in done.stdout


HEAVY = ["torch", "tensorflow", "sklearn", "tqdm", "pandas", "matplotlib"]


def test_units_need_neither_torch_nor_tensorflow(tmp_path):
    write_modelled(tmp_path / "runs" / "a", [Modelled("fc", units=2, changes={0: [(0, OFF)]})], steps=300)
    done = tb_netviz("units", "runs", cwd=tmp_path, without=HEAVY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dead: 1 unit\n" in done.stdout


def test_checks_need_neither_torch_nor_tensorflow(tmp_path):
    write_run(tmp_path / "runs" / "a", nan={"blocks.1": range(8, 20)})
    done = tb_netviz("check", "runs", cwd=tmp_path, without=HEAVY)
    assert (done.returncode, done.stderr) == (1, "")
    assert "[nonfinite]" in done.stdout


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    write_modelled(tmp_path / "runs" / "a", [Modelled("fc", units=4000)], steps=4)
    program = "import sys; from tb_netviz.cli import main; sys.exit(main(['units', 'runs', '--format', 'csv']))"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} | head -1; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "run,layer,activation,unit,state,since_step,samples,fired,twin,opposite\n"


def test_a_command_is_required(tmp_path):
    done = tb_netviz(cwd=tmp_path)
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize("steps", ["0", "-3", "many"])
def test_steps_have_to_be_a_positive_number(steps, tmp_path):
    done = tb_netviz("demo", "--steps", steps, cwd=tmp_path)
    assert done.returncode == 2
    assert "--steps" in done.stderr


@pytest.mark.parametrize(("module", "package"), [("torch", "torch"), ("sklearn", "scikit-learn"), ("tqdm", "tqdm")])
def test_the_demo_names_the_extra_when_a_package_is_missing(module, package, tmp_path):
    done = tb_netviz("demo", "--no-serve", cwd=tmp_path, without=[module])
    assert done.returncode == 2
    assert f"needs {package}" in done.stderr
    assert "tb-netviz-plugin[demo]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_demo_says_so_when_the_log_folder_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    done = tb_netviz("demo", "--logdir", "file/runs", cwd=tmp_path)
    assert done.returncode == 2
    assert "Give another --logdir" in done.stderr
    assert "Traceback" not in done.stderr
