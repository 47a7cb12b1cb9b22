"""The tab: when it is offered, its files, and what it refuses."""

import pytest
from tensorboard.plugins.base_plugin import TBContext

from tb_netviz_plugin.plugin import NetVizPlugin
from tb_netviz_plugin.routes import ROUTES, static
from tests.support.runs import RunFile, write_run


def listing(app):
    return app.client.get("/data/plugins_listing").json["netviz"]


def test_tab_is_offered_where_there_is_data(tmp_path, open_logdir):
    write_run(tmp_path / "run")
    entry = listing(open_logdir(tmp_path))
    assert entry["enabled"] is True
    assert entry["tab_name"] == "Gradient Flow"
    assert entry["loading_mechanism"] == {"type": "IFRAME", "module_path": "/data/plugin/netviz/index.js"}


def test_tab_is_not_offered_without_our_data(tmp_path, open_logdir):
    with RunFile(tmp_path / "other") as file:
        file.foreign("loss", 0, 1.0)
    app = open_logdir(tmp_path)
    assert listing(app)["enabled"] is False
    assert app.json("runs") == {"runs": []}


@pytest.mark.parametrize("exists", [True, False])
def test_tab_is_not_offered_for_an_empty_or_missing_logdir(tmp_path, open_logdir, exists):
    app = open_logdir(tmp_path if exists else tmp_path / "missing")
    assert listing(app)["enabled"] is False
    assert app.json("runs") == {"runs": []}
    assert app.error("run", run="any")[:2] == (404, "not_found")


def test_tab_appears_when_data_do(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.foreign("loss", 0, 1.0)
        file.flush()
        app = open_logdir(tmp_path)
        assert listing(app)["enabled"] is False
        file.metric("loss/train", 1, 1.0)
        file.flush()
        app.reload()
        assert listing(app)["enabled"] is True


def test_every_resource_has_a_route_and_a_line_in_the_docs(request):
    apps = NetVizPlugin(TBContext()).get_plugin_apps()
    docs = (request.config.rootpath / "docs" / "http-api.md").read_text(encoding="utf-8")
    for name in ROUTES:
        assert f"/{name}" in apps
        assert f"| `{name}` |" in docs


def test_resources_can_only_be_read(tmp_path, open_logdir):
    write_run(tmp_path)
    app = open_logdir(tmp_path)
    for method in ("post", "put", "delete"):
        response = getattr(app.client, method)("/data/plugin/netviz/runs")
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"
    assert app.client.head("/data/plugin/netviz/runs").data == b""


def test_defects_of_ours_answer_in_json_and_go_to_the_log(tmp_path, open_logdir, monkeypatch, caplog):
    write_run(tmp_path)
    app = open_logdir(tmp_path)

    def break_down(*_args, **_kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(app.provider), "list_tensors", break_down)
    status, kind, message = app.error("runs")
    assert (status, kind) == (500, "internal")
    assert "secret" not in message
    assert "secret detail" in caplog.text


def test_files_come_with_their_type_and_are_asked_for_again(tmp_path, open_logdir):
    write_run(tmp_path)
    app = open_logdir(tmp_path)
    first = app.get("index.js")
    assert first.status_code == 200
    assert first.content_type == "text/javascript; charset=utf-8"
    assert first.headers["Cache-Control"] == "no-cache, must-revalidate"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    again = app.client.get("/data/plugin/netviz/index.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_every_known_file_of_the_front_end_has_a_route(request):
    folder = request.config.rootpath / "tb_netviz_plugin" / "static"
    expected = {f"/{path.name}" for path in folder.iterdir() if path.suffix in static.MEDIA_TYPES}
    assert set(static.applications()) == expected


@pytest.mark.parametrize(
    "path",
    [
        "../plugin.py",
        "..%2fplugin.py",
        "%2e%2e/plugin.py",
        "static/index.js",
        "index.js/..",
        "index.js%00.html",
        "/etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_front_end(tmp_path, open_logdir, path):
    write_run(tmp_path)
    assert open_logdir(tmp_path).client.get(f"/data/plugin/netviz/{path}").status_code == 404


def test_text_is_compressed_and_frames_are_plain(tmp_path, open_logdir):
    write_run(tmp_path / "run", layers=30)
    app = open_logdir(tmp_path)
    headers = {"Accept-Encoding": "gzip"}
    text = app.client.get("/data/plugin/netviz/run?run=run", headers=headers)
    frame = app.client.get("/data/plugin/netviz/series?run=run&statistic=weight_norm", headers=headers)
    assert text.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in frame.headers
