"""The sample whose magnitudes are counted stands for the whole tensor, however its columns differ."""

import math

import numpy as np
import pytest
import torch

from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.reductions import host
from tb_netviz.pytorch.reductions.tensors import sample
from tb_netviz.statistics import count_bins, native
from tb_netviz.statistics.bins import magnitude_counts
from tb_netviz_plugin.schema import bins


@pytest.fixture(params=["compiled", "torch only"], autouse=True)
def way(request, monkeypatch):
    """Count with the compiled kernels, and as where there was no compiler."""
    if request.param == "torch only":
        monkeypatch.setattr(native, "_native", None)
    else:
        assert native.available(), "the compiled kernels are missing: is there no C compiler?"


def matrix(rows, columns):
    """Every third column is zero, and each of the others has a scale of its own."""
    scales = torch.exp2((torch.arange(columns) % 7).double()) * (torch.arange(columns) % 3 > 0)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(rows, columns)))
    return (noise * scales).float()


LAYOUTS = {
    "matrix": matrix(512, 96),
    "few columns": matrix(6000, 6),
    "transposed": matrix(512, 96).t(),
    "convolution": matrix(128, 3 * 3 * 48).view(128, 48, 3, 3),
    "channels last": matrix(128, 3 * 3 * 48).view(128, 48, 3, 3).contiguous(memory_format=torch.channels_last),
    "double": matrix(512, 96).double(),
    "half": matrix(512, 96).half(),
    "strided": matrix(512, 192)[:, ::2],
    "complex": torch.complex(matrix(512, 96), matrix(512, 96)),
}


def assert_stands_for(counts, tensor):
    """The shares are the exact ones, within four deviations of a sample of that size; zeros within a percent."""
    exact = magnitude_counts(tensor.abs().double().numpy().ravel()) / tensor.numel()
    shares = counts / counts.sum()
    assert bins.SAMPLES // 4 < counts.sum() <= bins.SAMPLES
    assert exact[bins.ZERO] > 0.3
    assert shares[bins.ZERO] == pytest.approx(exact[bins.ZERO], rel=0.01)
    np.testing.assert_allclose(shares, exact, atol=4 * math.sqrt(0.25 / counts.sum()))


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_stands_for_tensors_whose_columns_differ(name):
    assert_stands_for(host.gradient_bins([LAYOUTS[name]])[0], LAYOUTS[name])


@pytest.mark.parametrize("name", [name for name, tensor in LAYOUTS.items() if tensor.is_contiguous()])
def test_it_is_that_of_the_reference(name):
    assert np.array_equal(host.gradient_bins([LAYOUTS[name]])[0], count_bins(LAYOUTS[name].numpy()))


@pytest.mark.parametrize("name", LAYOUTS)
def test_that_of_an_accelerator_is_the_same(name):
    values = host.on_host(sample(LAYOUTS[name], bins.SAMPLES))
    counts = host.sample_bins(LAYOUTS[name].numel(), values)
    assert np.array_equal(counts, host.gradient_bins([LAYOUTS[name]])[0])


def test_what_a_sparse_gradient_does_not_store_is_counted_as_zeros():
    stored = matrix(300, 96)
    places = torch.arange(300) * 3
    gradient = torch.sparse_coo_tensor(places[None], stored, (900, 96), check_invariants=True).coalesce()
    assert_stands_for(host.gradient_bins([gradient])[0], gradient.to_dense())


@pytest.mark.parametrize("dimension", [0, 1])
@pytest.mark.parametrize("processes", [2, 4, 7])
def test_the_samples_of_shards_stand_for_the_whole_together(dimension, processes):
    whole = matrix(560, 84)
    shards = whole.chunk(processes, dimension)
    counts = np.zeros(bins.COUNT, dtype=int)
    for shard in shards:
        measurement = Measurement(1, (), with_bins=True)
        measurement.take_bins([0], [shard.contiguous()], [whole.numel()])
        found = measurement.bins()
        assert found is not None
        counts += found[0]
    alone = host.gradient_bins([whole])[0].sum()
    assert alone <= counts.sum() < alone + processes
    assert_stands_for(counts, whole)
