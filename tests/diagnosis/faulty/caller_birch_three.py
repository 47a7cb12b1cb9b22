"""Embeddings that become one: views of digits with nothing to keep them apart, and latents that hold nothing."""

from __future__ import annotations

import copy

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.caller_birch import harmed
from tests.diagnosis.proof import double, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth


class Encoder(nn.Module):
    """Embeds pictures of digits on a sphere of 32 dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1, stride=2)
        self.fc, self.projector = nn.Linear(512, 64), nn.Linear(64, 32)

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, 32] of [n, 1, 8, 8]."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = self.projector(functional.relu(self.fc(x.flatten(1))))
        return functional.normalize(x, dim=1)


def view(pictures: Tensor) -> Tensor:
    """Return pictures shifted by up to a pixel, each with noise of its own."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return pictures.roll((down, right), (2, 3)) + 0.3 * torch.randn_like(pictures)


def pulled(left: Tensor, right: Tensor) -> Tensor:
    """Return by how much views of a picture differ: nothing pushes those of others away."""
    return 1 - (left * right).sum(1).mean()


def contrasted(left: Tensor, right: Tensor) -> Tensor:
    """Return the cross-entropy of a view among those of the other pictures."""
    return functional.cross_entropy(left @ right.T / 0.2, torch.arange(len(left)))


def likeness(model: nn.Module, pictures: Tensor) -> float:
    """Return the mean cosine of two embeddings of different pictures."""
    with torch.no_grad():
        made = double(model).eval()(pictures.double())
    count = len(made)
    return float(((made @ made.T).sum() - count) / (count * (count - 1)))


def probed(model: nn.Module, data: Split) -> float:
    """Return how many classes a logistic regression reads from the embeddings."""
    with torch.no_grad():
        train, held_out = (double(model).eval()(part.inputs.double()) for part in (data.train, data.held_out))
    probe = LogisticRegression(max_iter=500).fit(train.numpy(), data.train.targets.numpy())
    return float(probe.score(held_out.numpy(), data.held_out.targets.numpy()))


def positives_only(trial: Trial) -> Truth:
    """Pulls two views of a digit together by their cosine, without negatives, predictor or stop-gradient."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Encoder()
    other, held = copy.deepcopy(model), {}
    start = likeness(model, data.held_out.inputs)
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(160):
            pictures, _ = draw(step)
            embedded = model(torch.cat([view(pictures), view(pictures)]))
            loss = pulled(*embedded.chunk(2))
            writer.observe(outputs=embedded, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("ssl/loss", loss.item(), step)
            if step % 5 == 4:
                held[step] = likeness(model, data.held_out.inputs)
    optimizer = Adam(other.parameters(), lr=1e-3)
    for step in range(160):
        pictures, _ = draw(step)
        optimizer.zero_grad()
        contrasted(other(view(pictures)), other(view(pictures))).backward()
        optimizer.step()
    end, should = likeness(model, data.held_out.inputs), likeness(other, data.held_out.inputs)
    require(start < 0.97 and end > 0.995 and should < 0.3, f"the cosine goes from {start:.4f} to {end:.4f}")
    does, could = probed(model, data), probed(other, data)
    require(does < 0.5 and could > 0.85, f"the probe reads {does:.3f}, and could {could:.3f}")
    first = min(step for step, cosine in held.items() if cosine > 0.995)
    return Truth(("conv1", "conv2", "fc", "projector"), 0, first + 20)


class Vae(nn.Module):
    """A variational autoencoder of waves: a GRU to a latent of six dimensions, and one back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(1, 32, batch_first=True), nn.GRU(6, 32, batch_first=True)
        self.mu, self.logvar, self.out = nn.Linear(32, 6), nn.Linear(32, 6), nn.Linear(32, 1)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what was rebuilt, and the means and log-variances of the latent."""
        state = self.encoder(waves)[1][0]
        mu, logvar = self.mu(state), self.logvar(state)
        latent = mu + (0.5 * logvar).exp() * torch.randn_like(mu) if self.training else mu
        return self.out(self.decoder(latent[:, None].expand(-1, 20, -1))[0]), mu, logvar


def bound(model: Vae, waves: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return what was rebuilt, its mean squared error, and that with the divergence, summed over all, and a weight."""
    rebuilt, mu, logvar = model(waves)
    error = functional.mse_loss(rebuilt, waves)
    divergence = -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())
    return rebuilt, error, error + weight * divergence


def waves(trial: Trial) -> Truth:
    """A VAE whose error is a mean and whose divergence is a sum over the batch: all waves get the same latent."""
    torch.manual_seed(trial.seed)
    time, known = torch.arange(20.0), torch.rand(1500, 3)
    forms = (0.5 + known[:, :1]) * torch.sin(0.3 * (1 + known[:, 1:2]) * time + 6.28 * known[:, 2:])
    data = split(1.3 * forms[..., None], known, 300, trial.seed)
    model, held = Vae(), {}
    other, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            inputs, _ = draw(step)
            rebuilt, error, loss = bound(model, inputs, 1.0)
            writer.observe(outputs=rebuilt, targets=inputs, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/recon", error.item(), writer.step)
            if step % 5 == 4:
                held[step] = spread(model, data.held_out)
    optimizer = AdamW(other.parameters(), lr=3e-3)
    for step in range(200):
        optimizer.zero_grad()
        # As a mean over all numbers, times a weight, as it is mostly done.
        bound(other, draw(step)[0], 0.05 / (32 * 20))[2].backward()
        optimizer.step()
    with torch.no_grad():
        does, should = (float(bound(one.eval(), data.held_out.inputs, 0.0)[1]) for one in (model, other))
    harmed(does, should, 2.0)
    flat = float(data.held_out.inputs.var())
    require(does > 0.9 * flat, f"the error is {does:.3g}, and that of a constant {flat:.3g}")
    end, wide = spread(model, data.held_out), spread(other, data.held_out)
    require(end < 0.05 and wide > 0.4, f"the means spread by {end:.3g}, and could by {wide:.3g}")
    first = min(step for step, far in held.items() if far < 0.05)
    return Truth(("encoder", "mu", "logvar", "decoder"), 0, first + 20)


def spread(model: Vae, part: Part) -> float:
    """Return by how much the means of the latent differ from wave to wave."""
    with torch.no_grad():
        return float(double(model).eval()(part.inputs.double())[1].std(0).max())


SCENARIOS = (
    Scenario(
        "birch-positives-only-cnn",
        "cnn",
        TUNING,
        positives_only,
        ("representation_collapse",),
        ("loss_plateau", "vanishing_gradient", "redundant_units", "layer_not_training", "dead_units"),
    ),
    Scenario(
        "birch-waves-gru",
        "rnn",
        TUNING,
        waves,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "underfitting", "vanishing_gradient", "layer_not_training", "dead_units"),
    ),
)
