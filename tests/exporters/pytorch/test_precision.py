"""Every optimizer, every precision: the columns of each step against a float64 computation by hand."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.optimizers import CASES, CLASSES, NAMED, WORDS, Reader, reader_for
from tests.support.watching import ByHand, assert_equal, read

STEPS = 5
IMPLEMENTATIONS = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def batch():
    return torch.randint(WORDS, (16,)), torch.randint(CLASSES, (16,))


def test_no_optimizer_of_torch_is_forgotten():
    kinds = {
        name
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    assert kinds == NAMED


@pytest.mark.parametrize("case", CASES)
def test_every_optimizer(tmp_path, case):
    torch.manual_seed(1)
    model = reader_for(case)
    optimizers = CASES[case](model)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers, every=1)
        for step in range(STEPS):
            words, targets = batch()
            nn.functional.cross_entropy(model(words), targets).backward()
            by_hand.before()
            for optimizer in optimizers:
                optimizer.step()
            by_hand.after(step)
            model.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        expected = by_hand.tables[step]
        if case == "SparseAdam":  # A pair of sparse gradients is not kept.
            expected["words.weight"] |= {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
        assert_equal(table, expected)
        assert all(columns["update_norm"] > 0 for columns in table.values())


@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16], ids=["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("unscales", [False, True], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_loss_scale_and_autocast(tmp_path, implementation, kind, unscales, autocast):
    torch.manual_seed(2)
    model = Reader()
    optimizer = kind(model.parameters(), lr=0.1, **IMPLEMENTATIONS[implementation])
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=2)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(STEPS):
            words, targets = batch()
            with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
                loss = nn.functional.cross_entropy(model(words), targets)
            scaler.scale(loss).backward()
            scale = scaler.get_scale()
            if unscales:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.2)
            by_hand.before(1.0 if unscales else scale)
            scaler.step(optimizer)
            by_hand.after(step)
            scaler.update()
            optimizer.zero_grad()
    assert scale > 2.0**12  # It grew on the way.
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])
        if unscales:
            assert math.hypot(*(columns["grad_norm"] for columns in table.values())) < 0.2001
        if kind is torch.optim.SGD:
            for columns in table.values():
                assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / 0.1, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_models_in_half_precision(tmp_path, implementation, kind, dtype):
    torch.manual_seed(3)
    model = Reader().to(dtype)
    options = IMPLEMENTATIONS[implementation] | ({"eps": 1e-4} if kind is torch.optim.AdamW else {})
    optimizer = kind(model.parameters(), lr=0.1, **options)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(STEPS):
            words, targets = batch()
            nn.functional.cross_entropy(model(words), targets).backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])


def test_accumulation_under_a_loss_scale_is_one_step(tmp_path):
    torch.manual_seed(4)
    model = Reader()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            for _ in range(4):
                words, targets = batch()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = nn.functional.cross_entropy(model(words), targets) / 4
                scaler.scale(loss).backward()
                assert writer.step == step
            by_hand.before(2.0**10)
            scaler.step(optimizer)
            by_hand.after(step)
            scaler.update()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2]
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])


def test_the_learning_rates_are_those_of_the_step(tmp_path):
    torch.manual_seed(5)
    model = Reader()
    groups = [{"params": [*model.words.parameters()], "lr": 0.1}, {"params": [*model.head.parameters()], "lr": 0.02}]
    optimizer = torch.optim.SGD(groups)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.4, 0.08], total_steps=STEPS + 1, cycle_momentum=False)
    used = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            words, targets = batch()
            nn.functional.cross_entropy(model(words), targets).backward()
            used.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    for place, row in enumerate(["words.weight", "head.weight"]):
        tag = f"netviz/learning_rate/{place}"
        told = [value for _, value in recording.scalars[tag]]
        assert told == pytest.approx([rates[place] for rates in used])
        assert [mean for _, _, mean in recording.metrics[tag]] == pytest.approx(told)
        for step, rate in enumerate(told):
            columns = recording.tables[step][row]
            assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / rate, rel=1e-3)
