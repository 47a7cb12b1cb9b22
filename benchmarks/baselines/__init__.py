"""The rules that others have published, at their published thresholds, over the same runs as ours.

They are written anew from their descriptions, and read what netviz has recorded: a step of theirs is a record, which
is one of its steps where all are observed. What they would need and no run holds, they do not judge: pre-activations
element by element, the test accuracy, the code.
"""

from collections.abc import Callable, Mapping

from benchmarks.baselines import autotrainer, deepdiagnosis, sagemaker, umlaut
from tb_netviz_plugin.reader import Run
from tests.diagnosis.scoring import Told

BASELINES: Mapping[str, Callable[[Run], list[Told]]] = {
    "SageMaker Debugger": sagemaker.judge,
    "AutoTrainer": autotrainer.judge,
    "DeepDiagnosis": deepdiagnosis.judge,
    "UMLAUT": umlaut.judge,
}
"""By name, what returns what a tool says of a run."""
