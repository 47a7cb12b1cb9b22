"""Sequences of whole numbers that are padded in evaluation only, read with the padding and without it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz_plugin.diagnosis import Severity

RULE = "train_eval_mismatch"
WORDS, CLASSES, LENGTH, PADDED = 29, 4, 8, 40


class Notes(nn.Module):
    """An LSTM that answers by its state after the last place, or after the last that is no padding."""

    def __init__(self, *, masked):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.rnn, self.head = nn.Embedding(WORDS, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 4)
        self.masked = masked

    def forward(self, notes):
        lengths = (notes > 0).sum(1) if self.masked else torch.full((len(notes),), notes.shape[1])
        return self.head(self.rnn(self.words(notes))[0][torch.arange(len(notes)), lengths - 1])


def notes(seed, count=64):
    """Return notes, of which half of the words tell the subject, and their subjects."""
    generator = torch.Generator().manual_seed(seed)
    subjects = torch.randint(CLASSES, (count,), generator=generator)
    words = torch.randint(1, WORDS, (count, LENGTH), generator=generator)
    telling = 1 + 7 * subjects[:, None] + torch.randint(7, (count, LENGTH), generator=generator)
    return torch.where(torch.rand(count, LENGTH, generator=generator) < 0.5, telling, words), subjects


@pytest.mark.parametrize(
    ("masked", "length", "expected"), [(False, PADDED, 1), (True, PADDED, 0), (False, LENGTH, 0), (True, LENGTH, 0)]
)
def test_sequences_that_are_padded_in_evaluation_only(train, told, masked, length, expected):
    model, (held_out, subjects) = Notes(masked=masked), notes(10_000, 256)
    held_out = functional.pad(held_out, (0, length - LENGTH))

    def validate(step):
        if step % 20 != 19:
            return None
        model.eval()
        with torch.no_grad():
            loss = functional.cross_entropy(model(held_out), subjects)
        model.train()
        return loss

    run = train(model, nn.CrossEntropyLoss(), notes, steps=200, rate=5e-3, validate=validate)
    findings = told(run, RULE)
    assert [finding.severity for finding in findings] == [Severity.WARNING] * expected
    for finding in findings:
        assert "80.0% of the whole numbers that it gets are 0 in evaluations, and 0.0% in training" in finding.message
        assert np.allclose(finding.evidence[0].values, 0.8, atol=1e-3)


@pytest.mark.parametrize(("learns", "expected"), [(True, 0), (False, 1)])
def test_a_padded_evaluation_in_another_unit_may_fall_by_itself(train, told, learns, expected):
    """In bits, as of a language model: it never gets below the first training loss, and has learned all the same."""
    model, (held_out, _) = Notes(masked=False), notes(10_000, 256)
    held_out = functional.pad(held_out, (0, PADDED - LENGTH))

    def validate(step):
        if step % 20 != 19:
            return None
        model.eval()
        with torch.no_grad():
            model(held_out)
        model.train()
        return 2.0 * (0.7 + 0.5 * 0.98**step) if learns else 2.0

    run = train(model, nn.CrossEntropyLoss(), notes, steps=200, rate=5e-3, validate=validate)
    assert len(told(run, RULE)) == expected
