"""Healthy transformers that were trained before: fine-tuned, resumed, or all but frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from tests.diagnosis.data import SEQUENCES_HELD_OUT, language, majorities, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit

WORDS, LONGEST, MASK = 30, 64, 29


class Encoder(nn.Module):
    """Embeddings of words, of places up to 64 and of two kinds of text, torch's own layers, and a head over places."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.words, self.places, self.kinds = nn.Embedding(WORDS, 32), nn.Embedding(LONGEST, 32), nn.Embedding(2, 32)
        self.norm, self.drop = nn.LayerNorm(32, eps=1e-12), nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(32, 2, 64, 0.1, "gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.classifier = nn.Linear(32, labels)
        for table in (self.words, self.places, self.kinds):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return the logits [n, length, labels], and with labels, −100 where there is none, the loss."""
        there = torch.arange(input_ids.shape[1])
        embedded = self.words(input_ids) + self.places(there) + self.kinds(torch.zeros_like(input_ids))
        logits = self.classifier(self.layers(self.drop(self.norm(embedded))))
        if labels is None:
            return {"logits": logits}
        return {"loss": functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), "logits": logits}


def linear_decay(optimizer: Optimizer, warm: int, steps: int) -> LambdaLR:
    """Return a rate that rises for `warm` steps and falls to zero at `steps`."""
    return LambdaLR(optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm)))


def sentences(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Return sentences [n, 16], and labels: of names and of what follows a title, −100 for what is padding."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(8, 24, (count, 16), generator=generator)
    titled = (torch.rand(count, 16, generator=generator) < 0.15) & (torch.arange(16) % 3 == 0)
    words = torch.where(titled, torch.randint(1, 4, words.shape, generator=generator), words)
    named = (torch.rand(count, 16, generator=generator) < 0.1) & ~titled
    words = torch.where(named, torch.randint(4, 8, words.shape, generator=generator), words)
    follows = functional.pad(words[:, :-1] < 4, (1, 0))
    surnames = torch.randint(22, MASK, words.shape, generator=generator)
    words = torch.where(follows & (torch.rand(words.shape, generator=generator) < 0.9), surnames, words)
    labels = torch.where((words > 3) & (words < 6), 2, torch.where((words > 5) & (words < 8), 3, 0))
    labels = torch.where(follows, 1, labels)
    padding = torch.arange(16) >= torch.randint(9, 17, (count, 1), generator=generator)
    return words.masked_fill(padding, 0), labels.masked_fill(padding, -100)


def entities(trial: Trial) -> None:
    """Names in sentences, after a pretraining: three quarters are no name, and most places and one kind never occur."""
    (texts, labels), (more, more_labels) = sentences(trial.seed, 900), sentences(trial.seed + 100, 250)
    model, generator = Encoder(WORDS), torch.Generator().manual_seed(trial.seed)
    pretraining = AdamW(model.parameters(), lr=2e-3)
    for _step in range(50):
        chosen = texts[torch.randint(900, (32,), generator=generator)]
        hidden = (torch.rand(chosen.shape, generator=generator) < 0.15) & (chosen > 0)
        pretraining.zero_grad()
        model(chosen.masked_fill(hidden, MASK), chosen.masked_fill(~hidden, -100))["loss"].backward()
        pretraining.step()
    model.classifier = nn.Linear(32, 4)
    optimizer = AdamW(model.parameters(), lr=6e-3, weight_decay=0.01)
    schedule, recent, held_out = linear_decay(optimizer, 20, 150), 0.0, []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(150):
            chosen = torch.randint(900, (16,), generator=generator)
            loss = model(texts[chosen], labels[chosen])["loss"]
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            recent += float(loss.detach()) / 10
            if step % 10 == 9:
                writer.add_scalar("train/loss", recent, writer.step)
                recent = 0.0
            if step % 30 == 29:
                model.eval()
                held_out.append(float(model(more, more_labels)["loss"].detach()))
                model.train()
                writer.add_scalar("eval/loss", held_out[-1], writer.step)
    told = model.eval()(more)["logits"].argmax(2)
    right = float((told == more_labels)[more_labels > 0].double().mean())
    require(right > 0.85, f"{right:.2f} of the names are found")
    require(held_out[-1] < 1.1 * min(held_out), "the loss held out rose")


def resumed(trial: Trial) -> None:
    """Taken up again at step 400 from a checkpoint: the rate is past its height, and little is left to learn."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    first = AdamW(model.parameters(), lr=6e-3)
    early = control(model, data.train.batches(32, trial.seed), first, steps=110)
    saved = {"model": model.state_dict(), "optimizer": first.state_dict()}
    model = Transformer(20, 20, each=True)
    model.load_state_dict(saved["model"])
    optimizer = AdamW(model.parameters(), lr=6e-3)
    optimizer.load_state_dict(saved["optimizer"])
    schedule, draw, losses = CosineAnnealingLR(optimizer, 200), data.train.batches(32, trial.seed + 1), []
    now, held_out = 400, []
    with trial.writer() as writer:
        writer.watch(model, optimizer, step=lambda: now, every=2, on_finding="ignore")
        for now in range(400, 540):
            inputs, targets = draw(now)
            scores = model(inputs)
            loss = functional.cross_entropy(scores, targets)
            writer.observe(outputs=scores, targets=targets, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss/train", losses[-1], now)
            if now % 30 == 29:
                held_out.append(loss_of(model, data.held_out))
                writer.add_scalar("loss/val", held_out[-1], now)
    late = sum(losses[-30:]) / 30
    require(late < early, f"the loss was {early:.3g}, and is {late:.3g}")
    require(held_out[-1] < 1.03 * min(held_out), "the loss held out rose")


def biases(trial: Trial) -> None:
    """BitFit: of a network that was trained for another question, biases, scales and the head may change, no matrix."""
    before = majorities(trial.seed)
    model = Transformer(12, 3)
    control(model, before.train.batches(32, trial.seed), AdamW(model.parameters(), lr=3e-3), steps=100)
    tokens = torch.cat([before.train.inputs, before.held_out.inputs])
    counts = torch.stack([(tokens == one).sum(1) for one in range(3)], 1)
    data = split(tokens, (counts[:, 0] > counts[:, 1]).long(), SEQUENCES_HELD_OUT, trial.seed)
    model.head = nn.Linear(24, 2)
    for name, value in model.named_parameters():
        value.requires_grad_(value.ndim < 2 or name.startswith("head"))
    optimizer = AdamW([value for value in model.parameters() if value.requires_grad], lr=5e-3)
    draw, schedule = data.train.batches(32, trial.seed), linear_decay(optimizer, 15, 140)
    history = fit(
        trial, model, draw, optimizer, steps=140, schedule=schedule, clip=1.0, validation=data.held_out, every=2
    )
    right = accuracy(model, data.held_out)
    require(right > 0.85, f"the accuracy is {right:.3f}")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-entities-transformer", "transformer", TUNING, entities),
    Scenario("healthy-resumed-transformer", "transformer", TUNING, resumed),
    Scenario("healthy-shifts-alone-transformer", "transformer", TUNING, biases),
)
