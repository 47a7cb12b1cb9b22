"""The example runs as it stands, its layouts can be opened, and it can be laid out once more."""

import os
import subprocess
import sys

from tests.support.apps import decode_frame
from tests.support.distributions import ROOT
from tests.support.servers import tensorboard

STEPS = [*range(0, 580, 40)]


def run(*command, cwd):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_example_writes_layouts_that_the_tab_reads(tmp_path):
    run(ROOT / "examples" / "embedding_digits.py", cwd=tmp_path)
    program = "import sys; from tb_netviz.cli import main; sys.exit(main())"
    said = run("-c", program, "embed", "runs", "--method", "pca", cwd=tmp_path)
    assert said.startswith("embedding, hidden: PCA of 15 steps")
    with tensorboard(tmp_path / "runs") as server:
        server.wait_for_runs("embedding", last_step=579)
        server.wait_for_dashboard("projector")
        (one,) = server.plugin_json("embeddings", run="embedding")["embeddings"]
        layouts = {(layout["method"], layout["origin"]): layout["steps"] for layout in one["layouts"]}
        index = [*layouts].index(("pca", "offline"))
        where = {"run": "embedding", "embedding": "hidden"}
        _, points = decode_frame(server.plugin("points", **where, layout=index, step=560))
        header, arrays = decode_frame(server.plugin("measures", **where))
        listed = server.json("/data/plugin/projector/info", {"run": "embedding"})["embeddings"]
    assert (one["name"], one["module"], one["omissions"]) == ("hidden", "4", [])
    assert one["sets"][0]["thumbnails"]["count"] == 500
    assert layouts["pca", "live"] == layouts["pca", "offline"] == STEPS
    assert layouts["tsne", "live"][-1] == STEPS[-1]
    assert points["positions"].shape == (500, 2)
    assert len(points["predictions"]) == 500
    probe = arrays["values"][:, header["columns"].index("probe_accuracy")]
    assert probe[-1] > 0.85
    assert [entry["tensorName"] for entry in listed] == [f"hidden step {step:05d}" for step in STEPS]
