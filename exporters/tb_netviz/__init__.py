"""netviz: write what happens inside a network while it trains. Each framework has a package of its own here."""
