"""Checks a run by the rules while it trains, in a thread of its own, and tells what is wrong once."""

from tb_netviz.live.alarm import Alarm, FindingError, LiveFinding, OnFinding, check_action
from tb_netviz.live.lookout import Lookout
from tb_netviz.live.tap import Tap

__all__ = ["Alarm", "FindingError", "LiveFinding", "Lookout", "OnFinding", "Tap", "check_action"]
