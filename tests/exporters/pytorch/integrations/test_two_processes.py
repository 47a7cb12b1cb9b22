"""Two processes train one model through a library: both watch, the first one writes, and what it writes is the mean."""

import os
from unittest.mock import patch

import pytest
import torch
from torch._C._distributed_c10d import HashStore  # Where its type is.

from tests.exporters.pytorch.integrations import test_accelerate, test_lightning, test_transformers
from tests.exporters.pytorch.integrations.training import CLIP, assert_recorded, by_hand, hooks_of
from tests.support.processes import run_processes
from tests.support.watching import read


def train_with_lightning(folder):
    import lightning.pytorch as library

    model = test_lightning.regression(library)
    training = test_lightning.trainer(
        library,
        folder,
        test_lightning.watching(),
        strategy="ddp",
        devices=2,
        gradient_clip_val=CLIP,
        logger=library.loggers.TensorBoardLogger(folder, name="", version="run"),
        enable_checkpointing=False,
        use_distributed_sampler=False,  # It would shuffle.
    )
    mine = test_lightning.batches()[training.global_rank :: 2]
    training.fit(model, torch.utils.data.DataLoader(mine, batch_size=None), test_lightning.loader(2))
    return model


def train_with_transformers(folder):
    model = test_transformers.gpt2()
    callback = test_transformers.watching(log_dir=folder / "run")
    test_transformers.trainer(
        model, folder, callback, max_steps=6, gradient_accumulation_steps=1, ddp_backend="gloo"
    ).train()
    return model


def train_with_accelerate(folder):
    from tb_netviz.pytorch.integrations.accelerate import NetVizTracker

    model, tracker = test_accelerate.network(), NetVizTracker("run", folder)
    test_accelerate.train(model, tracker)
    tracker.finish()  # Of which Accelerate tells the main process only.
    return model


TRAINING = {
    "lightning": train_with_lightning,
    "transformers": train_with_transformers,
    "accelerate": train_with_accelerate,
}


def work(rank, library, folder):
    os.chdir(folder)
    launcher = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1"}
    with patch.dict(os.environ, {name: str(value) for name, value in launcher.items()}, MASTER_PORT="1"):
        model = TRAINING[library](folder)
    if not torch.distributed.is_initialized():  # The library has ended the group, and run_processes wants one to end.
        torch.distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    return len(hooks_of(model))


@pytest.mark.parametrize("library", list(TRAINING))
def test_the_first_process_records_the_mean_of_both(tmp_path, library):
    outcomes = run_processes(work, 2, tmp_path, library, tmp_path, limit=120)
    if library == "transformers":
        tokens = torch.tensor([row["input_ids"] for row in test_transformers.rows()])
        batches = tokens.split(test_transformers.BATCH)
        expected, _ = by_hand(test_transformers.gpt2(), test_transformers.loss_of, batches, accumulate=2)
    else:
        module = {"lightning": test_lightning, "accelerate": test_accelerate}[library]
        expected, _ = by_hand(test_accelerate.network(), module.loss_of, module.batches(), accumulate=2)
    if library == "lightning":
        expected = [{f"network.{name}": value for name, value in norms.items()} for norms in expected]
    first = 1 if library == "transformers" else 0
    recording = read(tmp_path / "run")
    assert_recorded(recording, list(range(first, first + len(expected))), expected)
    assert "train_loss" in {role for records in recording.metrics.values() for role, _, _ in records}
    assert [path for path in (tmp_path / "run").iterdir() if path.is_dir()] == []
    assert not (tmp_path / "runs").exists()
    assert [(outcome.value, outcome.warnings) for outcome in outcomes] == [(0, []), (0, [])]
