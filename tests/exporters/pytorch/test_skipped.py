"""Steps that a loss scaler leaves out take up a number, and are told."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

FUSED = pytest.mark.parametrize("fused", [False, True], ids=["foreach", "fused"])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def gradient(model, scaler, *, overflows, parts=1):
    """Accumulate a gradient in `parts` backward passes; an infinity in it where it is to overflow."""
    for _ in range(parts):
        loss = model(torch.randn(16, 6)).square().mean() / parts
        scaler.scale(loss * (math.inf if overflows else 1.0)).backward()


def train(folder, scaler, overflows, *, attempts=30, parts=1, fused=False, unscales=False, every=1, **options):
    """Train, watched, and return the attempts whose step changed the weights."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=fused)
    changed = []
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=every, **options)
        for attempt in range(attempts):
            gradient(model, scaler, overflows=attempt in overflows, parts=parts)
            before = model[0].weight.clone()
            if unscales:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            if not torch.equal(before, model[0].weight):
                changed.append(attempt)
    return changed


def scaler_of(**options):
    return torch.amp.GradScaler("cpu", **{"init_scale": 2.0**16, "growth_interval": 2000} | options)


def skipped(folder, model=""):
    metrics = read(folder).metrics.get(f"netviz/{model}/skipped_step" if model else "netviz/skipped_step", [])
    assert {role for role, _, _ in metrics} <= {"skipped"}
    return [step for _, step, _ in metrics]


@FUSED
@pytest.mark.parametrize("unscales", [False, True])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("growth_interval", [1, 2, 3, 2000])
def test_numbers_are_those_of_the_attempts(tmp_path, growth_interval, parts, unscales, fused):
    overflows = {0, 1, 4, 5, 6, 9, 15, 20, 22, 24}
    scaler = scaler_of(growth_interval=growth_interval)
    changed = train(tmp_path, scaler, overflows, parts=parts, unscales=unscales, fused=fused)
    assert changed == sorted(set(range(30)) - overflows)
    assert sorted(read(tmp_path).tables) == changed
    assert skipped(tmp_path) == sorted(overflows)


@FUSED
@pytest.mark.parametrize("seed", range(4))
def test_overflows_at_random(tmp_path, seed, fused):
    rng = np.random.default_rng(seed)
    overflows = set(np.flatnonzero(rng.random(60) < 0.4).tolist()) - {59}
    scaler = scaler_of(
        growth_interval=int(rng.integers(1, 5)),
        growth_factor=float(rng.choice([2.0, 1.5, 3.0])),
        backoff_factor=float(rng.choice([0.5, 0.75, 0.9])),
        init_scale=float(rng.choice([1000.0, 65536.0])),
    )
    assert train(tmp_path, scaler, overflows, attempts=60, fused=fused) == sorted(set(range(60)) - overflows)
    assert sorted(read(tmp_path).tables) == sorted(set(range(60)) - overflows)
    assert skipped(tmp_path) == sorted(overflows)


@FUSED
def test_steps_that_are_not_observed_are_told_too(tmp_path, fused):
    overflows = {1, 2, 8, 17}
    train(tmp_path, scaler_of(), overflows, every=8, fused=fused)
    assert sorted(read(tmp_path).tables) == [0, 16, 24]
    assert skipped(tmp_path) == sorted(overflows)


def test_the_count_stands_in_the_standard_dashboard(tmp_path):
    train(tmp_path, scaler_of(), {0, 3, 4})
    assert read(tmp_path).scalars["netviz/skipped_steps"] == [(0, 1.0), (3, 2.0), (4, 3.0)]


def test_without_a_scaler_or_with_one_that_is_off_nothing_is_skipped(tmp_path):
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    train(tmp_path, scaler, set())
    assert skipped(tmp_path) == []
    assert sorted(read(tmp_path).tables) == list(range(30))


def test_no_overflow_is_no_skip_even_as_the_scale_grows_and_is_set_by_hand(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    scaler = scaler_of(growth_interval=3)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for attempt in range(20):
            gradient(model, scaler, overflows=False, parts=1 + attempt % 3)
            scaler.step(optimizer)
            scaler.update(512.0 if attempt == 9 else None)
            optimizer.zero_grad()
    assert skipped(tmp_path) == []
    assert sorted(read(tmp_path).tables) == list(range(20))


@pytest.mark.parametrize("optimizer_of", [torch.optim.SGD, torch.optim.Adam])
def test_what_a_scaler_did_before_is_no_concern_of_a_run(tmp_path, optimizer_of):
    model = network()
    optimizer = optimizer_of(model.parameters(), lr=0.01)
    scaler = scaler_of(growth_interval=50)

    def attempt(overflows):
        gradient(model, scaler, overflows=overflows)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    for overflows in (True, True, False, True):
        attempt(overflows)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for overflows in (False, True, False):
            attempt(overflows)
    assert skipped(tmp_path) == [1]


def test_ones_own_step_is_left_alone(tmp_path):
    seen = iter((100, 130, 140))
    train(tmp_path, scaler_of(), {1, 2}, attempts=5, step=lambda: next(seen))
    assert sorted(read(tmp_path).tables) == [100, 130, 140]
    assert skipped(tmp_path) == [128, 129]


@pytest.mark.parametrize("given", [True, False])
def test_one_scaler_for_two_optimizers_of_a_model(tmp_path, given):
    model = network()
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.01) for part in (model[0], model[2])]
    scaler = scaler_of(growth_interval=2)
    ill = {2: 0, 5: 1, 6: 1, 9: 0}  # By attempt, the optimizer whose gradient overflows.
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers if given else None, every=1)
        for attempt in range(14):
            gradient(model, scaler, overflows=False)
            if attempt in ill:
                model[2 * ill[attempt]].weight.grad[0, 0] = math.inf
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
            model.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(14))
    assert skipped(tmp_path) == sorted(ill)
    for step, table in recording.tables.items():
        present = [not math.isnan(table[f"{layer}.weight"]["weight_norm"]) for layer in (0, 2)]
        assert present == [ill.get(step) != 0, ill.get(step) != 1]


def test_one_scaler_for_the_two_models_of_a_gan(tmp_path):
    generator, critic = network(), nn.Linear(2, 1)
    first, second = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (generator, critic))
    scaler = scaler_of(growth_interval=3)
    ill_critic, ill_generator = {0, 4, 7}, {2, 7, 8}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(generator, first, name="generator", every=1)
        writer.watch(critic, second, name="critic", every=1)
        for attempt in range(14):
            fake = generator(torch.randn(16, 6))
            loss = critic(fake.detach()).square().mean() * (math.inf if attempt in ill_critic else 1)
            scaler.scale(loss).backward()
            scaler.step(second)
            second.zero_grad()
            loss = (critic(fake) - 1).square().mean() * (math.inf if attempt in ill_generator else 1)
            scaler.scale(loss).backward()
            scaler.step(first)
            first.zero_grad()
            second.zero_grad()
            scaler.update()
    assert skipped(tmp_path, "generator") == sorted(ill_generator)
    assert sorted(read(tmp_path, "generator").tables) == sorted(set(range(14)) - ill_generator)


def test_a_resumed_scaler_goes_on(tmp_path):
    scaler = scaler_of(growth_interval=5)
    train(tmp_path / "first", scaler, {0, 1, 7}, attempts=10)
    resumed = scaler_of()
    resumed.load_state_dict(scaler.state_dict())
    assert skipped(tmp_path / "first") == [0, 1, 7]
    train(tmp_path / "second", resumed, {0, 3}, attempts=10)
    assert skipped(tmp_path / "second") == [0, 3]


@FUSED
def test_the_scaler_is_left_as_it_is_and_training_is_bit_for_bit_the_same(tmp_path, fused):
    def run(folder=None):
        torch.manual_seed(1)
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=fused)
        scaler = scaler_of(growth_interval=4)
        writer = NetVizWriter(folder) if folder else None
        if writer:
            writer.watch(model, optimizer, every=2)
        for attempt in range(20):
            gradient(model, scaler, overflows=attempt in {0, 5, 6})
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        if writer:
            writer.close()
        return [*model.state_dict().values(), torch.rand(3), torch.tensor(list(scaler.state_dict().values()))]

    assert all(torch.equal(one, two) for one, two in zip(run(), run(tmp_path), strict=True))


def test_an_error_of_ours_costs_only_this(tmp_path, monkeypatch):
    monkeypatch.setattr("tb_netviz.pytorch.scaler._calling_frame", lambda _frame: 1 / 0)
    with pytest.warns(UserWarning, match="steps that a loss scaler leaves out"):
        train(tmp_path, scaler_of(), {2}, attempts=6)
    assert sorted(read(tmp_path).tables) == list(range(5))


def test_the_norm_before_clipping_is_known_at_every_step_that_is_not_left_out(tmp_path):
    changed = train(tmp_path, scaler_of(), {0, 1, 2, 7, 8}, attempts=16, parts=2, unscales=True)
    before = read(tmp_path).metrics["netviz/gradient_norm_before_clipping"]
    assert [step for _, step, _ in before] == changed
