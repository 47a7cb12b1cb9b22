"""Bit for bit: a watched training ends where the bare one ends, in weights, optimizer states and random states."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tb_netviz.pytorch import NetVizWriter
from tests.support.optimizers import CASES, CLASSES, WORDS, Reader, reader_for
from tests.support.watching import read

EPOCHS, BATCHES = 2, 6
STEPS = EPOCHS * BATCHES


def seed():
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002  The generator that others share.


def states() -> list[Any]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  As above.
    return [torch.get_rng_state().tolist(), random.getstate(), kind, list(keys), rest]


def loader():
    words = torch.arange(BATCHES * 8) % WORDS
    return DataLoader(TensorDataset(words, words % CLASSES), batch_size=8, shuffle=True)


def plain(model, optimizers, words, targets):
    loss = nn.functional.cross_entropy(model(words), targets)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    model.zero_grad()
    return loss.item()


def train(make, one_step, folder=None, *, model=None, **options):
    """Return losses, weights, optimizer states and random states at the end; watched if there is a folder."""
    seed()
    model = Reader() if model is None else model()
    optimizers = make(model)
    schedulers = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS) for optimizer in optimizers]
    losses = []
    writer = NetVizWriter(folder) if folder is not None else None
    if writer is not None:
        writer.watch(model, optimizers or None, every=1, **options)
    for _ in range(EPOCHS):
        for words, targets in loader():
            losses.append(one_step(model, optimizers, words, targets))
            for scheduler in schedulers:
                scheduler.step()
            if writer is not None:
                writer.add_scalar("loss/train", losses[-1])
    if writer is not None:
        writer.close()
    return losses, list(model.state_dict().values()), [optimizer.state_dict() for optimizer in optimizers], states()


def assert_same(one, two):
    """Compare nested states bit by bit, NaN and -0.0 included."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype
        assert one.detach().numpy().tobytes() == two.detach().numpy().tobytes()
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        assert_same(list(one.values()), list(two.values()))
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            assert_same(left, right)
    else:
        assert one == two


def assert_harmless(folder, make, one_step, *, recorded=STEPS, **options):
    assert_same(train(make, one_step, **options), train(make, one_step, folder, **options))
    assert len(read(folder).tables) == recorded


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_every_optimizer(tmp_path, case):
    assert_harmless(tmp_path, CASES[case], plain, model=lambda: reader_for(case))


def closure_of(model, optimizer, words, targets):
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(words), targets)
        loss.backward()
        return loss

    return closure


def by_closure(model, optimizers, words, targets):
    (optimizer,) = optimizers
    return optimizer.step(closure_of(model, optimizer, words, targets)).item()


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs(tmp_path, line_search):
    def make(model):
        return [torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4, line_search_fn=line_search)]

    assert_harmless(tmp_path, make, by_closure)


@pytest.mark.parametrize("foreach", [False, True])
def test_a_closure(tmp_path, foreach):
    assert_harmless(
        tmp_path, lambda model: [torch.optim.Adam(model.parameters(), foreach=foreach)], by_closure, histograms=1
    )


@pytest.mark.parametrize("unscales", [False, True])
@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_a_loss_scale_that_overflows_once(tmp_path, options, unscales):
    def make(model):
        return [torch.optim.AdamW(model.parameters(), **options)]

    def steps():
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
        count = 0

        def one_step(model, optimizers, words, targets):
            nonlocal count
            (optimizer,) = optimizers
            with torch.autocast("cpu", torch.float16):
                loss = nn.functional.cross_entropy(model(words), targets)
            scaler.scale(loss * (torch.inf if count == 3 else 1.0)).backward()
            if unscales:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            count += 1
            return loss.item() + scaler.get_scale()

        return one_step

    assert_same(train(make, steps()), train(make, steps(), tmp_path))
    assert len(read(tmp_path).tables) >= STEPS - 1


def test_accumulation_in_bfloat16(tmp_path):
    def one_step(model, optimizers, words, targets):
        (optimizer,) = optimizers
        total = 0.0
        for part, wanted in zip(words.split(2), targets.split(2), strict=True):
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(part), wanted) / 4
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return total

    assert_harmless(tmp_path, lambda model: [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)], one_step)


def test_an_optimizer_in_the_backward_pass(tmp_path):
    def make(model):
        for parameter in model.parameters():
            optimizer = torch.optim.Adam([parameter])

            def step(tensor, optimizer=optimizer):
                optimizer.step()
                optimizer.zero_grad()

            parameter.register_post_accumulate_grad_hook(step)
        return []

    def one_step(model, optimizers, words, targets):
        loss = nn.functional.cross_entropy(model(words), targets)
        loss.backward()
        return loss.item()

    assert_harmless(tmp_path, make, one_step)


def gan(folder=None):
    seed()
    generator, critic = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2)), nn.Linear(2, 1)
    first, second = torch.optim.Adam(generator.parameters()), torch.optim.RMSprop(critic.parameters())
    writer = NetVizWriter(folder) if folder is not None else None
    if writer is not None:
        writer.watch(generator, first, name="generator", every=1)
        writer.watch(critic, second, name="critic", every=1)
    for _ in range(STEPS):
        fake = generator(torch.randn(8, 4))
        second.zero_grad()
        (critic(fake.detach()).mean() - critic(torch.randn(8, 2)).mean()).backward()
        second.step()
        first.zero_grad()
        (-critic(fake).mean()).backward()
        first.step()
    if writer is not None:
        writer.close()
    return [*generator.state_dict().values(), *critic.state_dict().values(), first.state_dict(), states()]


def test_a_gan(tmp_path):
    assert_same(gan(), gan(tmp_path))
    assert sorted(read(tmp_path, "generator").tables) == list(range(STEPS))
    assert sorted(read(tmp_path, "critic").tables) == list(range(STEPS))
