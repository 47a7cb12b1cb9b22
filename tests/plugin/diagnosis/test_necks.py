"""Networks through which a single number has to carry all, beside those in which it is but a part."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

FEATURES = 12


def autoencoder(code):
    torch.manual_seed(0)
    encoder = [nn.Linear(FEATURES, 32), nn.ELU(), nn.Linear(32, code)]
    return nn.Sequential(*encoder, nn.Linear(code, 32), nn.ELU(), nn.Linear(32, FEATURES))


class Gated(nn.Module):
    """A network whose hidden units are scaled by a number that is made of them, and of that number again."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.score, self.near = nn.Linear(FEATURES, 32), nn.Linear(32, 1), nn.Linear(1, 32)
        self.length, self.head = nn.Linear(1, 32), nn.Linear(32, FEATURES)

    def forward(self, inputs):
        hidden = torch.relu(self.body(inputs))
        far = self.length(inputs.norm(dim=1, keepdim=True))
        return self.head(hidden * torch.sigmoid(self.near(self.score(hidden))) + far)


class Excited(nn.Module):
    """A network whose channels are each scaled by what a single number tells of all of them, as SE blocks do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.squeeze, self.excite = nn.Linear(FEATURES, 16), nn.Linear(16, 1), nn.Linear(1, 16)
        self.head = nn.Linear(16, FEATURES)

    def forward(self, inputs):
        hidden = torch.nn.functional.silu(self.body(inputs))
        gate = torch.sigmoid(self.excite(torch.nn.functional.silu(self.squeeze(hidden))))
        return self.head(hidden * gate)


def itself(step):
    inputs = torch.randn(64, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, inputs


def noise(step):
    """Return what can be told to a third only, to twelve outputs."""
    inputs = itself(step)[0]
    return inputs, inputs + 1.5 * torch.randn(64, FEATURES, generator=torch.Generator().manual_seed(step + 5000))


@pytest.mark.parametrize(
    ("model", "batch", "expected"),
    [(lambda: autoencoder(1), itself, 1), (lambda: autoencoder(12), noise, 0), (Gated, noise, 0), (Excited, noise, 0)],
)
def test_what_has_to_pass_through_a_single_number(train, told, model, batch, expected):
    # No network here is tiny by itself.
    findings = told(train(model(), nn.MSELoss(), batch, steps=400, rate=5e-3), "underfitting")
    assert [(finding.severity, finding.layers) for finding in findings] == [(Severity.WARNING, (1,))] * expected


MANY = 40


class Tagger(nn.Module):
    """Tells which of many codes comes next by as many numbers as it remembers."""

    def __init__(self, states):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.rnn = nn.Embedding(MANY, 24), nn.GRU(24, states, batch_first=True)
        self.head = nn.Linear(states, MANY)

    def forward(self, codes):
        return self.head(self.rnn(self.embed(codes))[0]).transpose(1, 2)


def walks(step, count=32, length=12):
    """Return codes, of which each follows from the one before, but for one in four, and those that come next."""
    generator = torch.Generator().manual_seed(step)
    codes = [torch.randint(MANY, (count,), generator=generator)]
    for _ in range(length):
        drawn = torch.randint(MANY, (count,), generator=generator)
        jumps = torch.rand(count, generator=generator) < 0.25
        codes.append(torch.where(jumps, drawn, (7 * codes[-1] + 3) % MANY))
    held = torch.stack(codes, 1)
    return held[:, :-1], held[:, 1:]


@pytest.mark.parametrize(("states", "expected"), [(2, [Severity.WARNING]), (48, [])])
def test_numbers_that_are_too_few_for_the_classes(train, told, states, expected):
    model, (inputs, targets) = Tagger(states), walks(10_000, 100)

    def validate(step):
        with torch.no_grad():
            return nn.functional.cross_entropy(model(inputs), targets) if step % 20 == 19 else None

    run = train(model, nn.CrossEntropyLoss(), walks, steps=240, rate=2e-2, validate=validate)
    found = [finding for finding in told(run, "underfitting") if finding.severity is not Severity.INFO]
    assert [finding.severity for finding in found] == expected
    assert all("all that head tells 40 classes by are 2 numbers" in finding.message for finding in found)
