"""What is in the sdist and in the wheel."""

import tarfile
import zipfile

import pytest

from tests.support.distributions import ROOT, files_below

GENERATED_BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}


@pytest.fixture(scope="module")
def sdist_files(built):
    with tarfile.open(built.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    return {name for name in names if ".egg-info/" not in name} - GENERATED_BY_SETUPTOOLS


@pytest.fixture(scope="module")
def wheel_files(built):
    with zipfile.ZipFile(built.wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_sdist_is_the_checkout(built, sdist_files):
    made = (".egg-info/", "__pycache__/")  # By building it, and by whoever imports what was built.
    expected = {name for name in files_below(built.sources) if not any(part in name for part in made)}
    assert sdist_files == expected


def test_the_wheel_holds_both_packages_and_nothing_else(wheel_files):
    plugin = {f"tb_netviz_plugin/{name}" for name in files_below(ROOT / "tb_netviz_plugin")}
    writers = {f"tb_netviz/{name}" for name in files_below(ROOT / "exporters" / "tb_netviz")}
    sources = {name for name in plugin | writers if not name.endswith((".c", ".h", ".so"))}
    assert wheel_files == {name for name in sources if "__pycache__" not in name}


def test_the_wheel_holds_what_is_not_python(wheel_files):
    assert {
        "tb_netviz_plugin/static/index.js",
        "tb_netviz_plugin/schema/netviz.proto",
        "tb_netviz_plugin/schema/netviz_pb2.pyi",
        "tb_netviz_plugin/py.typed",
        "tb_netviz/py.typed",
    } <= wheel_files


def test_where_there_is_a_compiler_the_wheel_also_holds_the_kernels_for_every_version_of_python(compiled, wheel_files):
    assert "-cp311-abi3-" in compiled.name
    with zipfile.ZipFile(compiled) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == wheel_files | {"tb_netviz/statistics/_native.abi3.so"}


def test_the_wheel_carries_the_licence(built):
    with zipfile.ZipFile(built.wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
