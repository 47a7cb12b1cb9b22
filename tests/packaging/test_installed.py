"""The wheel and the editable install, driven as a user drives them."""

import re
import subprocess
from contextlib import contextmanager

import pytest

from tests.support.distributions import ROOT, install, make_environment, run
from tests.support.runs import write_run
from tests.support.servers import Server, free_port, wait_until

ENTRY_POINT = """
from importlib.metadata import entry_points
(point,) = [p for p in entry_points(group="tensorboard_plugins") if p.name == "netviz"]
print(point.load().__name__, point.dist.version)
"""
VERSION = "from importlib.metadata import version; print(version('tb-netviz-plugin'))"


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, built, tmp_path_factory):
    """An interpreter with netviz, once from the wheel and once editable."""
    if request.param == "wheel":
        return request.getfixturevalue("installed")
    editable = make_environment(tmp_path_factory.mktemp("editable"))
    install(editable, "--editable", built.sources)
    return editable


@contextmanager
def serving(python, log_dir, scratch):
    """Run the TensorBoard that `python` has."""
    port = free_port()
    command = [python, "-I", "-W", "ignore", "-m", "tensorboard.main", "--logdir", log_dir, "--port", port]
    log = scratch / "output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Server(f"http://localhost:{port}", process, log)
    finally:
        process.terminate()
        process.wait()


def listing(server):
    """Return whether the tab is offered, once the server answers."""
    try:
        return server.json("/data/plugins_listing")["netviz"]["enabled"]
    except OSError:
        return False


def test_both_packages_are_found_without_the_checkout(python, tmp_path):
    where = run([python, "-I", "-c", "import tb_netviz, tb_netviz_plugin as p; print(p.__file__)"], cwd=tmp_path)
    assert str(ROOT) not in where


def test_the_entry_point_loads(python, tmp_path):
    name, version = run([python, "-I", "-c", ENTRY_POINT], cwd=tmp_path).split()
    assert name == "NetVizLoader"
    assert version == run([python, "-I", "-c", VERSION], cwd=tmp_path).strip()


def test_the_command_explains_itself(python, tmp_path):
    help_text = run([python.parent / "tb-netviz", "--help"], cwd=tmp_path)
    assert "demo" in help_text
    assert "--no-serve" in run([python.parent / "tb-netviz", "demo", "--help"], cwd=tmp_path)


def test_tensorboard_offers_the_tab_and_serves_it(python, built, tmp_path):
    write_run(tmp_path / "logs" / "run")
    with serving(python, tmp_path / "logs", tmp_path) as server:
        wait_until(lambda: listing(server), f"the tab is not offered:\n{server.output}")
        catalogue = server.plugin_json("catalogue")
        module = server.json("/data/plugins_listing")["netviz"]["loading_mechanism"]["module_path"]
        served = server.get(module)
        runs = server.plugin_json("runs")["runs"]
    assert served == (built.sources / "tb_netviz_plugin" / "static" / "index.js").read_bytes()
    assert catalogue["version"] == run([python, "-I", "-c", VERSION], cwd=tmp_path).strip()
    assert [(entry["run"], entry["error"]) for entry in runs] == [("run", None)]


def test_the_plugin_package_is_empty():
    assert (ROOT / "tb_netviz_plugin" / "__init__.py").read_bytes() == b""


def test_the_version_stands_in_setup_py_only():
    (version,) = re.findall(r'^VERSION = "(.+)"$', (ROOT / "setup.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sources = [*(ROOT / "tb_netviz_plugin").rglob("*.py"), *(ROOT / "exporters").rglob("*.py")]
    assert sources
    assert [path for path in sources if f'"{version}"' in path.read_text(encoding="utf-8")] == []
