"""The generated code runs on the oldest and on the newest protobuf that setup.py permits."""

import os
import subprocess
import sys

import pytest

from tests.support.distributions import ROOT


@pytest.mark.parametrize(("requirement", "expected"), [("protobuf==6.31.1", "6.31.1"), ("protobuf>=7,<8", "7.")])
def test_every_round_trip_of_the_schema_holds_on(requirement, expected, tmp_path):
    target = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, requirement]
    subprocess.run(pip, check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}

    version = run("import google.protobuf as p; print(p.__version__)", environment)
    assert version.startswith(expected)
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/schema"]
    done = subprocess.run(tests, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def run(code, environment):
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
