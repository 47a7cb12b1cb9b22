"""`add_embedding` of NetVizWriter, for TensorBoard's projector: it loses nothing of what others have added."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch.utils.tensorboard import SummaryWriter

from tb_netviz.embedding import projector_config
from tb_netviz.embedding.projector import Projector
from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.servers import tensorboard

POINTS = torch.arange(8.0).reshape(4, 2)


def names_in(folder):
    content = (folder / "projector_config.pbtxt").read_text("utf-8")
    return [entry.tensor_name for entry in text_format.Parse(content, ProjectorConfig()).embeddings]


def add_ours(folder, step):
    assert Projector(folder, 1 << 20).add("fc", step, np.ones((5, 3), np.float32), None, None) == ""


def test_entries_of_all_stay_whoever_comes_when(tmp_path):
    with SummaryWriter(tmp_path) as theirs:
        theirs.add_embedding(POINTS, global_step=1, tag="before")
    with NetVizWriter(tmp_path) as writer:
        writer.add_embedding(POINTS, global_step=2, tag="first")
        add_ours(tmp_path, 3)
        writer.add_embedding(POINTS, global_step=4, tag="first")
        add_ours(tmp_path, 5)
    with NetVizWriter(tmp_path) as resumed:
        resumed.add_embedding(POINTS, global_step=6, tag="resumed")
        add_ours(tmp_path, 7)
    expected = ["before:00001", "first:00002", "fc step 00003", "first:00004", "fc step 00005", "resumed:00006"]
    assert names_in(tmp_path) == [*expected, "fc step 00007"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_step_that_comes_again_has_one_entry(tmp_path, capsys):
    for _ in range(2):
        with NetVizWriter(tmp_path) as writer:
            writer.add_embedding(POINTS, tag="a")
            writer.add_embedding(POINTS, global_step=12, tag="a")
    assert names_in(tmp_path) == ["a:00000", "a:00012"]
    assert "did you set global_step" in capsys.readouterr().out  # SummaryWriter's own words.


def test_a_broken_config_is_kept_and_told(tmp_path):
    path = tmp_path / "projector_config.pbtxt"
    path.write_text("precious, but {{ broken")
    with NetVizWriter(tmp_path) as writer, pytest.warns(NetVizWarning, match=r"kept as projector_config.broken1"):
        writer.add_embedding(POINTS)
    assert (tmp_path / "projector_config.broken1.pbtxt").read_text() == "precious, but {{ broken"
    assert names_in(tmp_path) == ["default:00000"]


def test_what_summary_writer_refuses_changes_nothing(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        writer.add_embedding(POINTS, tag="good")
        with pytest.raises(AssertionError, match="labels should equal"):
            writer.add_embedding(POINTS, metadata=["too few"], global_step=1, tag="bad")
        writer.add_embedding(POINTS, global_step=2, tag="good")
    assert names_in(tmp_path) == ["good:00000", "good:00002"]


def test_somebody_else_s_lock_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(projector_config, "PATIENCE", 0.1)
    add_ours(tmp_path, 1)
    told = pytest.warns(NetVizWarning, match="without a lock")
    with NetVizWriter(tmp_path) as writer, projector_config.locked(tmp_path), told:
        writer.add_embedding(POINTS)
    assert names_in(tmp_path) == ["fc step 00001", "default:00000"]


def test_tensorboard_shows_both_kinds(tmp_path):
    folder = tmp_path / "run"
    with NetVizWriter(folder) as writer:
        writer.add_scalar("a", 1.0, 0)
        writer.add_embedding(POINTS, metadata=list("abcd"), global_step=2, tag="theirs")
        add_ours(folder, 3)
    with tensorboard(tmp_path, load_fast=False) as server:
        server.wait_for_dashboard("projector")
        listed = server.json("/data/plugin/projector/info", {"run": "run"})["embeddings"]
        assert [entry["tensorShape"] for entry in listed] == [[4, 2], [5, 3]]
