"""The demo finds fresh run names, and says so when it can't write."""

import pytest

from tb_netviz.demo.errors import UnwritableError
from tb_netviz.demo.folders import fresh_runs


def test_a_first_demo_takes_the_names_as_they_are(tmp_path):
    log_dir = tmp_path / "new" / "runs"
    assert fresh_runs(log_dir, ["cnn", "mlp"]) == {"cnn": log_dir / "cnn", "mlp": log_dir / "mlp"}


def test_a_second_demo_takes_the_same_number_for_all(tmp_path):
    for name in ("mlp", "cnn-2"):
        (tmp_path / name).mkdir()
    assert fresh_runs(tmp_path, ["cnn", "mlp"]) == {"cnn": tmp_path / "cnn-3", "mlp": tmp_path / "mlp-3"}


def test_runs_that_are_there_stay_as_they_are(tmp_path):
    kept = tmp_path / "cnn" / "events"
    kept.parent.mkdir()
    kept.write_text("precious")
    fresh_runs(tmp_path, ["cnn"])
    assert kept.read_text() == "precious"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    blocked = tmp_path / "runs"
    blocked.write_text("")
    with pytest.raises(UnwritableError, match=r"runs.*Give another --logdir"):
        fresh_runs(blocked / "below", ["cnn"])
