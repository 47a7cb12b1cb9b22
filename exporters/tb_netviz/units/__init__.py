"""`tb-netviz units`: which units of a run are dead, and since when, read from its files without a server."""
