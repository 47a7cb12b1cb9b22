"""From observations to records: windows, the schedule, and metrics. Knows NumPy and no framework."""

from tb_netviz.recorder.activity import ACTIVATION_IDS, Activities, unit_records_per_octave
from tb_netviz.recorder.axis import StepAxes
from tb_netviz.recorder.budget import FOR_CHECKS, BudgetSchedule
from tb_netviz.recorder.evaluations import EvaluationRecords
from tb_netviz.recorder.metrics import MetricRecorder
from tb_netviz.recorder.outputs import OUTPUT_IDS, OutputValues
from tb_netviz.recorder.recorder import ALL_COLUMNS, Recorder
from tb_netviz.recorder.schedule import FixedSchedule, Plan, Schedule, bins_due, stride, window_start

__all__ = [
    "ACTIVATION_IDS",
    "ALL_COLUMNS",
    "FOR_CHECKS",
    "OUTPUT_IDS",
    "Activities",
    "BudgetSchedule",
    "EvaluationRecords",
    "FixedSchedule",
    "MetricRecorder",
    "OutputValues",
    "Plan",
    "Recorder",
    "Schedule",
    "StepAxes",
    "bins_due",
    "stride",
    "unit_records_per_octave",
    "window_start",
]
