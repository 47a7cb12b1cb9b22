"""`tb-netviz check`: what is wrong with runs, read from their files without a server."""
