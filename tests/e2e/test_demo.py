"""What the tab says of the demo's runs, over either loader: the cause is named, and what follows stands below it."""

import pytest

from tb_netviz_plugin.diagnosis import Severity

pytestmark = pytest.mark.both_loaders


def causes(server, run):
    told = server.plugin_json("findings", run=run)["findings"]
    return [one for one in told if Severity[one["severity"].upper()] > Severity.INFO]


def test_the_raised_learning_rate_is_the_cause_of_the_units_that_die(server):
    (cause,) = causes(server, "raised-lr")
    assert (cause["rule"], cause["severity"]) == ("lr_too_high", "critical")
    assert "raised from 0.001" in cause["message"]
    assert {one["rule"] for one in cause["consequences"]} >= {"dead_units", "vanishing_gradient"}


def test_the_gradient_of_the_sigmoids_vanishes_and_the_convolutions_are_well(server):
    assert [one["rule"] for one in causes(server, "sigmoid-mlp")] == ["vanishing_gradient"]
    assert causes(server, "cnn") == []
