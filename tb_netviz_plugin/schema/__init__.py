"""The wire format of netviz, shared by the writers and the reader.

This package imports nothing else of ours: the exporters write by it, the plugin reads by it, and it
outlives both. `docs/wire-format.md` describes what it puts into an event file.
"""
