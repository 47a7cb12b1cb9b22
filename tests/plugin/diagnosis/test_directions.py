"""Embeddings that come to point in one direction, under a loss that compares directions only."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs

FEATURES, WIDTH = 12, 24


class Siamese(nn.Module):
    """Embeds two views of each sample, and makes each foretell the other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))
        self.predictor = nn.Sequential(nn.Linear(WIDTH, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, WIDTH))

    def forward(self, views):
        embedded = self.encoder(views)
        return embedded, self.predictor(embedded)


@pytest.fixture
def run(tmp_path, _one_thread):
    def of(*, stop):
        model, generator = Siamese(), torch.Generator().manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=2, histograms=False, on_finding="ignore")
            for _ in range(160):
                samples = torch.randn(64, FEATURES, generator=generator)
                noise = 0.3 * torch.randn(128, FEATURES, generator=generator)
                embedded, foretold = model(samples.repeat(2, 1) + noise)
                aims = (embedded.detach() if stop else embedded).roll(64, 0)
                loss = -functional.cosine_similarity(foretold, aims).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("ssl/loss", loss, writer.step)
        (recorded,) = read_runs(tmp_path)
        return recorded

    return of


@pytest.mark.parametrize(("stop", "expected"), [(False, 1), (True, 0)])
def test_two_sides_that_agree_on_one_direction(run, told, stop, expected):
    findings = told(run(stop=stop), "representation_collapse")
    assert [finding.severity.id for finding in findings] == ["critical"] * expected
    assert all(finding.beyond.threshold == pytest.approx(0.35) for finding in findings)
    assert all("Stop the gradient on one of the two sides" in finding.remedies[0].text for finding in findings)
