"""What can be stated about a run without judging it.

Each kind is a function from Evidence to facts, in a file of its own, with a line in FACTS. They keep
quiet about healthy networks: a fact has to persist, and is measured against the network's own past
and depth.
"""

from tb_netviz_plugin.analysis.facts.catalogue import FACTS, find_facts
from tb_netviz_plugin.analysis.facts.fact import Fact

__all__ = ["FACTS", "Fact", "find_facts"]
