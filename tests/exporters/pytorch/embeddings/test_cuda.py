"""On a GPU: the vectors are those of the module, random states are kept, and the training thread never waits."""

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.embedding.vectors import stored
from tb_netviz.pytorch import NetVizWriter
from tests.support.placed import read_placed
from tests.support.small_networks import Convolutions, digits

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

COUNT = 150


def train(folder=None, *, wary=False, steps=8):
    """Return the model and the random state at the end; `wary` lets whatever waits for the device fail."""
    torch.manual_seed(0)
    model = Convolutions().cuda()
    inputs, classes = (tensor.cuda() for tensor in digits(64))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, histograms=False)
        writer.watch_embedding("head", "head", *digits(COUNT), every=1)
    for step in range(steps):
        if wary and step == 4:
            torch.cuda.set_sync_debug_mode("error")
        nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.set_sync_debug_mode("default")
    if writer is not None:
        writer.close()
    return model, torch.cuda.get_rng_state()


def test_the_training_is_the_same_and_the_vectors_are_those_of_the_module(tmp_path):
    bare, state = train()
    model, after = train(tmp_path)
    assert torch.equal(state, after)
    assert all(torch.equal(one, two) for one, two in zip(bare.parameters(), model.parameters(), strict=True))
    step, load = stored(tmp_path)["head"][-1]
    assert step == 7
    with torch.no_grad():
        output = model.eval()(digits(COUNT)[0].cuda()).cpu().numpy()
    np.testing.assert_allclose(load(), output, rtol=1e-3, atol=1e-3)


def test_the_training_thread_never_waits(tmp_path):
    train(tmp_path, wary=True)
    assert read_placed(tmp_path, "head").steps("pca")
