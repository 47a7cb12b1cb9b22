"""Facts are stated where they hold, with layer and step, and healthy networks are left alone."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tb_netviz_plugin.analysis import wording
from tb_netviz_plugin.analysis.facts import FACTS, find_facts
from tb_netviz_plugin.analysis.facts.no_gradient import frozen_layers
from tb_netviz_plugin.analysis.grid import align
from tb_netviz_plugin.analysis.network import unite
from tb_netviz_plugin.analysis.records import stack
from tb_netviz_plugin.schema.tags import Family
from tests.support.devruns import convolutional_layers, modelled_columns
from tests.support.runs import HOSTILE_NAMES, describe

RECORDS = 60


@dataclass
class Model:
    """A network with modelled gradients, whose norms [T, P] and zero shares [T, P] a test may change."""

    layers: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=lambda: convolutional_layers(8))
    frozen: tuple[str, ...] = ()
    decay: float = 0.95
    seed: int = 0
    interval: int = 10

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.description = describe(self.layers, frozen=self.frozen)
        self.owners = np.array([row.owner for row in self.description.parameters])
        sizes = np.array([row.elements for row in self.description.parameters])
        depth = (len(self.description.modules) - 1 - self.owners) / 2
        course = np.exp(-2 * np.arange(RECORDS) / RECORDS)[:, None]
        scatter = np.exp(0.3 * self.rng.standard_normal((RECORDS, len(sizes))))
        self.norms = self.decay**depth * np.sqrt(sizes / 256) * course * scatter
        self.zeros = np.full(self.norms.shape, 0.3)
        self.updates = np.full(self.norms.shape, np.nan)

    def of(self, *layers):
        return np.isin(self.owners, layers)

    def facts(self):
        tensors = []
        for norms, zeros, updates in zip(self.norms, self.zeros, self.updates, strict=True):
            columns = modelled_columns(self.description, norms, zeros, self.rng)
            columns[:, 8] = np.where(np.isnan(updates), columns[:, 8], updates)
            tensors.append(columns.astype(np.float32))
        network = unite([self.description])
        axis = [self.interval * record for record in range(RECORDS)]
        records = stack(axis, axis, tensors, 2)
        steps = stack(axis, axis, [np.array([1, 1, 0.1, 0.001, 10, 0], np.float32)] * RECORDS, 1)
        return find_facts(align(network, {"": steps}, {network.tags[Family.PARAMETERS][0].tag: records}))


def only(found, kind):
    assert [fact.kind for fact in found] == [kind]
    return found[0]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("decay", [0.8, 0.95, 1.1])
def test_healthy_networks_are_left_alone(seed, decay):
    assert Model(seed=seed, decay=decay).facts() == ()


def test_a_converged_network_is_left_alone():
    model = Model()
    model.norms *= np.geomspace(1, 1e-9, RECORDS)[:, None]
    assert model.facts() == ()


def test_relu_zeros_and_sparse_embeddings_are_left_alone():
    model = Model()
    model.zeros[:, model.of(0)] = 0.999
    model.zeros[:, model.of(3, 5)] = 0.95
    assert model.facts() == ()


def test_zero_initialised_branches_are_left_alone_once_they_learn():
    model = Model()
    model.norms[:3, model.of(4, 6)] = 0
    model.zeros[:3, model.of(4, 6)] = 1
    assert model.facts() == ()


def test_a_gradient_that_is_zero_now_and_then_is_left_alone():
    model = Model()
    model.norms[::2, model.of(4)] = 0
    model.zeros[::2, model.of(4)] = 1
    assert model.facts() == ()


def test_a_single_layer_with_a_small_gradient_is_no_fall():
    model = Model()
    model.norms[:, model.of(8)] *= 1e-6
    assert [fact for fact in model.facts() if fact.kind == "gradient_fall"] == []


def test_update_sizes_at_the_start_are_left_alone():
    model = Model()
    model.updates[:6] = 10.0
    assert model.facts() == ()


def test_too_few_records_say_nothing_about_persistence():
    model = Model()
    model.norms[-4:, model.of(4)] = 0
    model.zeros[-4:, model.of(4)] = 1
    assert model.facts() == ()


def test_nonfinite_names_the_first_layer_and_step():
    model = Model()
    model.norms[30, model.of(7)] = np.nan
    model.norms[31:33, model.of(2, 7)] = np.nan
    fact = only(model.facts(), "nonfinite")
    assert fact.title == "blocks.3.conv's gradient is not finite at step 300"
    assert fact.layers == (7, 2)
    assert (fact.step, fact.last_step) == (300, 320)
    assert fact.evidence["records"] == 3
    assert fact.id == "nonfinite:7"


def test_layers_that_die_together_are_one_fact_with_its_step():
    model = Model()
    model.norms[24:, model.of(3, 4, 5)] = 0
    model.zeros[24:, model.of(3, 4, 5)] = 1
    fact = only(model.facts(), "zero_gradient")
    assert fact.title == "The gradients of 3 layers, blocks.1.conv to blocks.2.conv, are exactly zero since step 240"
    assert fact.layers == (3, 4, 5)
    assert (fact.step, fact.last_step, fact.evidence["records"]) == (240, 590, 36)


def test_a_layer_is_not_dead_while_one_of_its_parameters_learns():
    model = Model()
    weight_of_a_norm = np.flatnonzero(model.of(4))[0]
    model.norms[24:, weight_of_a_norm] = 0
    model.zeros[24:, weight_of_a_norm] = 1
    assert model.facts() == ()


def test_layers_that_never_had_a_gradient_are_told_from_frozen_ones():
    model = Model(frozen=("stem",))
    model.norms[:, model.of(0, 5)] = -1
    unused, frozen = model.facts()
    assert unused.title == "blocks.2.conv never had a gradient"
    assert unused.layers == (5,)
    assert frozen.title == "stem is frozen, without a gradient"
    assert frozen.layers == (0,)
    assert {unused.kind, frozen.kind} == {"no_gradient"}


def test_a_layer_that_is_used_now_and_then_has_a_gradient():
    model = Model()
    model.norms[1::3, model.of(5)] = -1
    assert model.facts() == ()


def test_a_vanishing_gradient_is_a_fall_with_its_factor():
    model = Model(decay=0.2)
    fact = only(model.facts(), "gradient_fall")
    assert 1e4 < fact.evidence["factor"] < 1e7
    assert fact.layers[0] < 4
    assert fact.evidence["from_layer"] > 14
    assert "falls" in fact.title
    assert fact.last_step == 590


def test_a_cliff_is_located():
    model = Model(decay=1.0)
    model.norms[:, model.of(*range(8))] *= 1e-5
    fact = only(model.facts(), "gradient_fall")
    assert fact.layers == tuple(range(8))
    assert "lies between blocks.3.norm and blocks.3.conv" in fact.detail


@pytest.mark.parametrize(
    ("factor", "words"),
    [(4.56, "4.6-fold"), (113452, "110,000-fold"), (5.7e7, "57 million-fold"), (6e12, "6e12-fold")],
)
def test_factors_claim_no_more_digits_than_they_have(factor, words):
    assert wording.fold(factor) == words


def test_a_layer_that_falls_below_its_past_is_told_with_its_onset():
    model = Model()
    model.norms[20:, model.of(6)] *= 1e-6
    fact = only(model.facts(), "gradient_drop")
    assert fact.layers == (6,)
    assert fact.step == 200
    assert 1e5 < fact.evidence["factor"] < 1e7
    assert "since step 200" in fact.title


def test_steps_are_written_as_the_tab_writes_them():
    model = Model(interval=1000)
    model.norms[24:, model.of(4)] = 0
    model.zeros[24:, model.of(4)] = 1
    fact = only(model.facts(), "zero_gradient")
    assert "since step 24,000" in fact.title
    assert "from step 24,000 to step 59,000" in fact.detail


@pytest.mark.parametrize(
    ("value", "words"), [(0.01, "0.01"), (0.00291, "0.0029"), (1.23e-5, "1.2e-5"), (12345, "12,000"), (6e7, "6e7")]
)
def test_numbers_are_written_as_the_tab_writes_them(value, words):
    assert wording.number(value) == words


def test_an_update_spike_is_told_with_its_layers():
    model = Model()
    model.updates[40, model.of(3, 9)] = 5.0
    fact = only(model.facts(), "update_spike")
    assert set(fact.layers) == {3, 9}
    assert fact.step == 400
    assert fact.evidence["ratio"] > 1


def test_the_most_striking_comes_first():
    model = Model()
    model.norms[20:, model.of(6)] *= 1e-6
    model.norms[30, model.of(9)] = np.nan
    model.norms[40:, model.of(2)] = 0
    model.zeros[40:, model.of(2)] = 1
    model.updates[45, model.of(4)] = 5.0
    assert [fact.kind for fact in model.facts()] == ["nonfinite", "zero_gradient", "gradient_drop", "update_spike"]


def test_hostile_and_endless_names_fit_a_sentence():
    model = Model(layers={name: {"weight": (4, 4)} for name in HOSTILE_NAMES})
    model.norms[30:] = np.nan
    (fact,) = model.facts()
    assert len(fact.title) < 250


def test_every_kind_is_in_the_docs(request):
    docs = (request.config.rootpath / "docs" / "http-api.md").read_text(encoding="utf-8")
    for kind in FACTS:
        name = "no_gradient" if kind is frozen_layers else kind.__name__
        assert f"`{name}`" in docs
