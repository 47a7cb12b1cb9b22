"""Latent means that no longer tell samples apart, whatever their layers are called."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz_plugin.diagnosis import Severity

RULE = "representation_collapse"
FEATURES = 12


class Variational(nn.Module):
    """A variational autoencoder; returns what it makes and the divergence of its latent units."""

    def __init__(self, names, units=4):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.names = nn.Linear(FEATURES, 32), names
        for name in names:
            self.add_module(name, nn.Linear(32, units))
        self.decoder, self.head = nn.Linear(units, 32), nn.Linear(32, FEATURES)

    def forward(self, inputs):
        hidden = self.encoder(inputs).tanh()
        mean, log_var = (self.get_submodule(name)(hidden) for name in self.names)
        drawn = mean + torch.randn_like(mean) * (log_var / 2).exp()
        divergence = (mean.square() + log_var.exp() - log_var - 1).sum(1, keepdim=True) / 2
        return torch.cat([self.head(self.decoder(drawn).tanh()), divergence], 1)


def batch(step):
    drawn = torch.randn(64, 1, generator=torch.Generator().manual_seed(step))
    inputs = drawn * torch.linspace(0.5, 2, FEATURES)
    return inputs, inputs


def elbow(weight):
    def criterion(made, inputs):
        return functional.mse_loss(made[:, :-1], inputs) + weight * made[:, -1].mean()

    return criterion


def posterior(told, run):
    return [finding for finding in told(run, RULE) if "posterior" in finding.message]


@pytest.mark.parametrize("names", [("mean", "log_var"), ("mean", "spread"), ("fc21", "fc22")])
@pytest.mark.parametrize(("weight", "expected"), [(20.0, 1), (0.01, 0)])
def test_a_posterior_that_collapses(train, told, names, weight, expected):
    run = train(Variational(names), elbow(weight), batch, steps=250)
    findings = posterior(told, run)
    assert len(findings) == expected
    assert all(tuple(run.network.layers[at].name for at in finding.layers) == names for finding in findings)
    assert all(finding.severity is Severity.WARNING for finding in findings)


@pytest.mark.parametrize(("used", "expected"), [(1, 0), (0, 1)])
def test_where_one_of_many_latent_units_is_used_the_others_may_rest(train, told, used, expected):
    model = Variational(("mean", "log_var"), units=64)
    with torch.no_grad():
        model.mean.weight[used:] = 0
        model.mean.weight[:used] *= 3
    run = train(model, elbow(0.0), batch, steps=100, rate=1e-6)
    assert len(posterior(told, run)) == expected


class Gated(nn.Module):
    """Two layers side by side, of which one opens and shuts what the other puts out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.value, self.gate = (nn.Linear(FEATURES, 32, bias=False) for _ in range(2))
        self.head = nn.Linear(32, FEATURES)

    def forward(self, inputs):
        return self.head(functional.layer_norm(self.value(inputs) * (1 + self.gate(inputs)), (32,), eps=1e-12))


def test_layers_side_by_side_whose_weights_a_decay_shrinks_are_no_latent_units(train, told):
    model = Gated()
    groups = [
        {"params": [*model.value.parameters(), *model.gate.parameters()], "weight_decay": 50.0},
        {"params": model.head.parameters(), "weight_decay": 0.0},
    ]
    run = train(model, functional.mse_loss, batch, steps=250, optimizer=torch.optim.AdamW(groups, lr=1e-3))
    assert posterior(told, run) == []


class Actor(nn.Module):
    """Means and deviations of what to do, and on a trunk of its own what that is worth."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.mean, self.log_std = nn.Linear(6, 32), nn.Linear(32, 3), nn.Linear(32, 3)
        self.critic, self.value = nn.Linear(6, 32), nn.Linear(32, 1)

    def forward(self, inputs):
        hidden = self.trunk(inputs).tanh()
        return torch.cat([self.mean(hidden), self.log_std(hidden), self.value(self.critic(inputs).tanh())], 1)


def cloned(made, inputs):
    mean, log_std, value = made[:, :3], made[:, 3:6].clamp(-5, 2), made[:, 6]
    missed = (0.1 * inputs[:, :3].tanh() + 0.03 * torch.randn_like(mean) - mean) / log_std.exp()
    return (log_std + missed.square() / 2).mean() + (value - inputs[:, 0].tanh()).square().mean()


def seen(step):
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(step))
    return inputs, inputs


def test_an_actor_beside_its_critic_has_no_latent_units(train, told):
    assert posterior(told, train(Actor(), cloned, seen, steps=400, rate=3e-3)) == []


@pytest.mark.parametrize(("noise", "expected"), [(0.03, 0), (1.0, 1)])
def test_small_means_say_much_beside_little_noise(train, told, noise, expected):
    model = Variational(("mean", "log_var"))
    with torch.no_grad():
        model.mean.weight.mul_(0.1)
        model.log_var.weight.zero_()
        model.log_var.bias.fill_(2 * float(torch.tensor(noise).log()))
    assert len(posterior(told, train(model, elbow(0.0), batch, steps=1100, rate=1e-6))) == expected
