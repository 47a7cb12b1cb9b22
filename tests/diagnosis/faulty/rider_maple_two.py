"""Parameters that nobody wired in, and losses that leap for what a few batches hold."""

from __future__ import annotations

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, Split, language, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def unwired(model: nn.Module, part: Part, module: str, criterion: nn.Module) -> None:
    """Raise NotProvenError unless the parameters of one module alone get no gradient at all."""
    for name, size in gradients(model, part, criterion).items():
        require((size == 0) == name.startswith(f"{module}."), f"{name} gets {size:.3g}")


class Clicks(nn.Module):
    """A transformer encoder over the clicks of a visit; it has an embedding of places, and may forget to add it."""

    def __init__(self, *, placed: bool) -> None:
        super().__init__()
        self.token_emb, self.pos_emb = nn.Embedding(10, 32), nn.Embedding(14, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classifier = nn.Linear(32, 4)
        self.placed = placed

    def forward(self, clicks: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        x = self.token_emb(clicks)
        if self.placed:
            x = x + self.pos_emb(torch.arange(clicks.shape[1]))
        scores: Tensor = self.classifier(self.encoder(x).mean(1))
        return scores


def clicks(seed: int, count: int = 1600) -> Split:
    """Return visits [n, 14], and which of four pages was in the last place but one."""
    generator = torch.Generator().manual_seed(seed)
    visits = torch.randint(10, (count, 14), generator=generator)
    bought = torch.randint(4, (count,), generator=generator)
    visits[:, 12] = bought
    return split(visits, bought, 300, seed)


def no_places(trial: Trial) -> Truth:
    """Defines `pos_emb` in the constructor and never adds it in `forward`: what came last can't be told."""
    torch.manual_seed(trial.seed)
    data, model, other = clicks(trial.seed), Clicks(placed=False), Clicks(placed=True)
    other.load_state_dict(model.state_dict())
    criterion, optimizer = nn.CrossEntropyLoss(), AdamW(model.parameters(), lr=2e-3)
    draw = data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for step in range(200):
            visits, bought = draw(step)
            scores = model(visits)
            loss = criterion(scores, bought)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == bought).float().mean()), writer.step)
            if step % 40 == 39:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=200)
    unwired(model, data.train.first(64), "pos_emb", criterion)
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(does < should - 0.2, f"it gets {does:.3f} right, and {should:.3f} where places are added")
    return Truth(("pos_emb",))


class SmallUNet(nn.Module):
    """Looks at pictures from afar, and at their details besides; a slip joins the coarse half to itself."""

    def __init__(self, *, slip: bool) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(4))
        self.middle = nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.up1 = nn.ConvTranspose2d(24, 12, 4, stride=4)
        self.skip = nn.Conv2d(1, 12, 3, padding=1)
        self.out = nn.Conv2d(24, 1, 3, padding=1)
        self.slip = slip

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        up = F.relu(self.up1(self.middle(self.down1(pictures))))
        detail = F.relu(self.skip(pictures))
        scores: Tensor = self.out(torch.cat([up, up if self.slip else detail], 1))
        return scores


def cracks(seed: int, count: int = 500) -> Split:
    """Return noisy pictures of walls, [n, 1, 16, 16], and where their winding cracks are."""
    generator = torch.Generator().manual_seed(seed)
    column = torch.randint(3, 13, (count, 1), generator=generator)
    column = (column + torch.randint(-1, 2, (count, 16), generator=generator).cumsum(1)).clamp(0, 15)
    where = F.one_hot(column, 16).float()[:, None]
    return split(where * 2 - 1 + 0.5 * torch.randn(where.shape, generator=generator), where, 100, seed)


def joined_twice(trial: Trial) -> Truth:
    """A U-Net that writes `cat([up, up])` for `cat([up, detail])`: the convolution of the details is for nothing."""
    torch.manual_seed(trial.seed)
    data, model, other = cracks(trial.seed), SmallUNet(slip=True), SmallUNet(slip=False)
    other.load_state_dict(model.state_dict())
    criterion, draw = nn.BCEWithLogitsLoss(), data.train.batches(16, trial.seed)
    history = fit(
        trial, model, draw, Adam(model.parameters(), lr=3e-3), criterion, steps=160, validation=data.held_out, every=2
    )
    better = control(other, data.train.batches(16, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=160)
    unwired(model, data.train.first(32), "skip", criterion)
    require(history.end > 1.5 * better, f"the loss is {history.end:.3g}, and {better:.3g} with the details")
    return Truth(("skip",))


def lost_point(trial: Trial) -> Truth:
    """One target in 350 lost its decimal point: each epoch, the batch that it is in makes the squared error leap."""
    torch.manual_seed(trial.seed)
    raw, grown = load_diabetes(return_X_y=True)
    rows, targets = torch.tensor(raw, dtype=torch.float32), torch.tensor(grown, dtype=torch.float32)[:, None]
    data = split(rows / rows.std(0), (targets - targets.mean()) / targets.std(), 90, trial.seed)
    clean = data.train.targets.clone()
    data.train.targets[11] = (25_000 - targets.mean()) / targets.std()
    model, other = mlp((10, 64, 32, 1)), mlp((10, 64, 32, 1))
    other.load_state_dict(model.state_dict())
    generator, hit, losses = torch.Generator().manual_seed(trial.seed), [], []
    order = [torch.randperm(352, generator=generator).view(-1, 8) for _epoch in range(6)]
    batches, criterion = torch.cat(order), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step, chosen in enumerate(batches):
            optimizer.zero_grad()
            loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], step)
            if bool((chosen == 11).any()):
                hit.append(step)
    control(
        other,
        lambda step: (data.train.inputs[batches[step]], clean[batches[step]]),
        Adam(other.parameters(), lr=3e-3),
        criterion,
        steps=len(batches),
    )
    usual = sorted(losses)[len(losses) // 2]
    for step in hit:
        require(losses[step] > 20 * usual, f"the loss at {step} is {losses[step]:.3g}, and usually {usual:.3g}")
    require(
        max(losses[step] for step in range(len(losses)) if step not in hit) < 20 * usual, "it leaps without that target"
    )
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 1.15 * should, f"the loss held out is {does:.3f}, and {should:.3f} without it")
    return Truth((), hit[0], hit[-1])


class Words(nn.Module):
    """A language model with an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 24)
        self.lstm = nn.LSTM(24, 64, batch_first=True)
        self.decoder = nn.Linear(64, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.decoder(self.lstm(self.embedding(tokens))[0]).transpose(1, 2)
        return scores


def other_tokenizer(trial: Trial) -> Truth:
    """Reads shards of text, two of which another tokenizer has cut: the ids mean other words for eight steps each."""
    torch.manual_seed(trial.seed)
    data, model, other = language(trial.seed), Words(), Words()
    other.load_state_dict(model.state_dict())
    ids = torch.randperm(20, generator=torch.Generator().manual_seed(trial.seed))
    criterion, draw = nn.CrossEntropyLoss(), data.train.batches(24, trial.seed)
    optimizer = Adam(model.parameters(), lr=1e-2)
    losses, kept = [], {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            tokens, following = draw(step)
            if 130 <= step < 138 or 205 <= step < 213:
                tokens, following = ids[tokens], ids[following]
            loss = criterion(model(tokens), following)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step in (129, 139, 204, 219):
                kept[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("loss/val", kept[step], writer.step)
    for step in (130, 205):
        calm = max(losses[step - 20 : step])
        require(losses[step] > 2 * calm, f"the loss at {step} is {losses[step]:.3f}, and was {calm:.3f} at most")
    control(other, data.train.batches(24, trial.seed), Adam(other.parameters(), lr=1e-2), steps=220, clip=5.0)
    should = loss_of(other, data.held_out)
    require(kept[219] > 1.15 * should, f"the loss held out ends at {kept[219]:.3f}, and at {should:.3f} without them")
    return Truth((), 130, 139)


SCENARIOS = (
    Scenario(
        "maple-places-transformer",
        "transformer",
        TUNING,
        no_places,
        ("unused_parameter", "layer_not_training"),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "maple-details-unet",
        "cnn",
        TUNING,
        joined_twice,
        ("unused_parameter", "layer_not_training"),
        ("loss_plateau", "underfitting", "redundant_units"),
    ),
    Scenario(
        "maple-lost-point-mlp",
        "mlp",
        TUNING,
        lost_point,
        ("loss_spike",),
        ("exploding_gradient", "dead_units", "loss_oscillation", "label_noise", "wrong_output_or_loss"),
    ),
    Scenario(
        "maple-shards-lstm",
        "rnn",
        TUNING,
        other_tokenizer,
        ("loss_spike",),
        ("label_noise", "exploding_gradient", "loss_oscillation"),
    ),
)
