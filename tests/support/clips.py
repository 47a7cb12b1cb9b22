"""Training that clips, and what was recorded of it."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

BEFORE, CLIPPED = "netviz/gradient_norm_before_clipping", "netviz/clipped"
MAX_NORM, MAX_VALUE = 0.5, 0.33
SIZES = (0.1, 2.0, 0.3, 0.5)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def by_norm(model):
    nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)


def by_value(model):
    nn.utils.clip_grad_value_(model.parameters(), MAX_VALUE)


def by_both(model):
    by_value(model)
    by_norm(model)


def by_hand(model):
    if whole(model) > MAX_NORM:
        for parameter in model.parameters():
            parameter.grad.mul_(0.25)


def unseen(model):
    for parameter in model.parameters():
        parameter.grad.data.clamp_(-MAX_VALUE, MAX_VALUE)


def replaced(model):
    for parameter in model.parameters():
        parameter.grad = parameter.grad.clamp(-MAX_VALUE, MAX_VALUE)


def nothing(model):
    pass


def gradients(model):
    return torch.cat([parameter.grad.double().flatten() for parameter in model.parameters()])


def whole(model):
    return float(gradients(model).norm())


def backward(model, step, parts=1, scale=lambda loss: loss):
    """Larger inputs at some steps than at others, so that only some are clipped."""
    for _ in range(parts):
        loss = model(torch.randn(16, 6) * SIZES[step % 4]).square().mean() / parts
        scale(loss).backward()


def train(folder, modify, *, steps=24, parts=1, every=1, model=None, optimizer_of=None, **options):
    """Train, watched, and return the norms before and whether the gradient was made smaller, step by step."""
    model = model or network()
    optimizer = (optimizer_of or (lambda p: torch.optim.SGD(p, lr=0.01)))(model.parameters())
    expected = []
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=every, **options)
        for step in range(steps):
            backward(model, step, parts)
            before, norm = gradients(model), whole(model)
            modify(model)
            expected.append((norm, bool((gradients(model).abs() < before.abs() - 1e-12).any())))
            optimizer.step()
            optimizer.zero_grad()
    return expected


def found(folder, model=""):
    """Return what was recorded by step: (norm before, clipped)."""
    metrics = read(folder).metrics
    prefix = f"netviz/{model}/" if model else "netviz/"
    names = [prefix + name.removeprefix("netviz/") for name in (BEFORE, CLIPPED)]
    norms, clipped = ([(step, value) for _, step, value in metrics.get(name, [])] for name in names)
    assert [role for name in names for role, _, _ in metrics.get(name, [])] == ["gradient_norm_before"] * len(norms) + [
        "clipped"
    ] * len(clipped)
    assert [step for step, _ in norms] == [step for step, _ in clipped]
    return {step: (norm, bool(was)) for (step, norm), (_, was) in zip(norms, clipped, strict=True)}


def assert_as_expected(records, expected, steps=None):
    assert list(records) == list(range(len(expected)) if steps is None else steps)
    for step, (norm, clipped) in records.items():
        assert norm == pytest.approx(expected[step][0], rel=1e-5)
        assert clipped == expected[step][1]
