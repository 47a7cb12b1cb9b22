"""Processes that are forked from one that has imported torch and netviz, which takes seconds each time."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
"""Starts processes. What they fork from has trained nothing, and its environment is that of the first start."""
FORKS.set_forkserver_preload(["torch", "torch._dynamo", "torch.distributed.fsdp", "tb_netviz.pytorch"])
