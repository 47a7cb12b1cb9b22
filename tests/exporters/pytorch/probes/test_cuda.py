"""On a GPU: the maps are those of the modules, random states are kept, and the training thread never waits."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import assert_shown, read_album
from tests.support.small_networks import Convolutions, Transformer, digits

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def train(make, folder=None, *, wary=False, steps=8, **options):
    """Return the model and the random state at the end; `wary` lets whatever waits for the device fail."""
    torch.manual_seed(0)
    model = make().cuda()
    inputs, classes = (tensor.cuda() for tensor in digits(64))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, histograms=False)
        writer.watch_activation_maps(inputs[:4].cpu(), every=1, images=False, **options)
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


def test_the_training_is_the_same_and_the_maps_are_those_of_the_module(tmp_path):
    bare, state = train(Convolutions)
    model, after = train(Convolutions, tmp_path)
    assert torch.equal(state, after)
    assert all(torch.equal(one, two) for one, two in zip(bare.parameters(), model.parameters(), strict=True))
    album = read_album(tmp_path)
    model.eval()
    output = model.stem(digits(4)[0].cuda()).detach().double().cpu().numpy()
    assert_shown(album.values("stem", album.steps[-1]), output)


@pytest.mark.parametrize("make", [Convolutions, Transformer])
def test_the_training_thread_never_waits(tmp_path, make):
    train(make, tmp_path, wary=True)
    assert read_album(tmp_path).steps
