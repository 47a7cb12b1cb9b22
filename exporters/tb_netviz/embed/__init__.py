"""`tb-netviz embed`: layouts of what a run has kept, fitted after the training, backwards from its end."""
