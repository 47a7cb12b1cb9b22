"""Saliency and Grad-CAM against their definitions, computed by hand."""

import sys

import pytest
import torch
from torch import nn

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import assert_shown, read_album
from tests.support.small_networks import Convolutions, Recurrent, digits

BOTH = ("saliency", "grad_cam")


def train(model, folder, inputs, **options):
    torch.manual_seed(1)
    pictures, classes = digits(64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(inputs, every=1, **options)
        for _ in range(2):
            nn.functional.cross_entropy(scores_of(model(pictures)), classes).backward()
            optimizer.step()
            optimizer.zero_grad()
    return read_album(folder)


def scores_of(output):
    return output if isinstance(output, torch.Tensor) else output["logits"]


def by_hand(model, inputs, target):
    """Return saliency and Grad-CAM of the layer `conv`, [samples, 1, height, width]."""
    kept = []
    handle = model.conv.register_forward_hook(lambda *call: kept.append(call[-1]))
    model.eval()
    leaf = inputs.clone().requires_grad_()
    scores = scores_of(model(leaf))
    handle.remove()
    target = scores.argmax(1) if target is None else torch.as_tensor(target).expand(len(inputs))
    chosen = scores.gather(1, target[:, None]).sum()
    by_input, by_layer = torch.autograd.grad(chosen, [leaf, kept[0]])
    weights = by_layer.mean((2, 3), keepdim=True)
    cam = (weights * kept[0]).sum(1, keepdim=True).clamp(min=0)
    return by_input.abs().amax(1, keepdim=True).double().numpy(), cam.detach().double().numpy()


@pytest.mark.parametrize("target", [None, 7, [1, 2, 3]])
def test_they_are_what_their_definitions_say(tmp_path, target):
    model, (inputs, _) = Convolutions(), digits(3)
    album = train(model, tmp_path, inputs, attribution=BOTH, target=target)
    assert album.modules[-2:] == [("input", "saliency"), ("conv", "grad_cam")]
    saliency, cam = by_hand(model, inputs, target)
    assert_shown(album.values("input", 1), saliency)
    assert_shown(album.values("conv", 1, "grad_cam"), cam)


class Wrapped(nn.Module):
    """Returns a dict, and begins in place."""

    def __init__(self):
        super().__init__()
        self.inner = Convolutions()
        self.conv = self.inner.conv

    def forward(self, pictures):
        return {"logits": self.inner(nn.functional.relu_(pictures * 1.0))}


class InPlace(Wrapped):
    """Changes its own input."""

    def forward(self, pictures):
        return {"logits": self.inner(pictures.mul_(2.0))}


@pytest.mark.parametrize("make", [Wrapped, InPlace])
def test_outputs_may_be_dicts_and_inputs_may_be_changed_in_place(tmp_path, make):
    model, (inputs, _) = make(), digits(3)
    kept = inputs.clone()
    album = train(model, tmp_path, inputs, attribution="saliency")
    assert ("input", "saliency") in album.modules
    assert torch.equal(inputs, kept)
    if make is Wrapped:
        assert_shown(album.values("input", 1), by_hand(model, inputs, None)[0])


class Sentences(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(17, 6)
        self.conv = nn.Conv1d(6, 4, 3)
        self.head = nn.Linear(4, 10)

    def forward(self, pictures):
        words = pictures if pictures.dtype == torch.int64 else (pictures[:, 0, 0] * 16).long()
        return self.head(self.conv(self.embed(words).transpose(1, 2)).mean(2))


def test_words_have_a_grad_cam_and_no_saliency_which_is_said(tmp_path):
    words = (digits(3)[0][:, 0, 3] * 16).long()
    with pytest.warns(NetVizWarning, match="saliency needs inputs that have a gradient"):
        album = train(Sentences(), tmp_path, words, attribution=["grad_cam", "saliency"])
    assert album.description.kind == "tokens"
    assert album.description.inputs == ""
    assert album.modules == [("conv", "feature_map"), ("conv", "grad_cam")]
    assert album.values("conv", 0, "grad_cam").shape == (3, 1, 1, 6)
    assert "saliency needs inputs" in album.reasons["The attribution"]
    assert album.steps == [0, 1]


def test_without_a_convolution_there_is_no_grad_cam(tmp_path):
    with pytest.warns(NetVizWarning, match="grad_cam needs a convolution"):
        album = train(Recurrent(), tmp_path, digits(3)[0], attribution=BOTH)
    assert album.modules == [("lstm", "hidden"), ("input", "saliency")]


def test_a_class_that_the_model_does_not_know_is_named(tmp_path):
    with pytest.warns(NetVizWarning, match=r"target \[10, 10, 10\] is out of range: the model tells 10 classes apart"):
        album = train(Convolutions(), tmp_path, digits(3)[0], attribution=BOTH, target=10)
    assert album.steps == [0, 1]


def test_where_captum_is_missing_that_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    model = Convolutions()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model)
        with pytest.raises(ModuleNotFoundError, match=r"tb-netviz-plugin\[attribution\]"):
            writer.watch_activation_maps(digits(2)[0], attribution="saliency")
        writer.watch_activation_maps(digits(2)[0])
