"""Real: the memory driver and its paging. Fake: the clock. Asserted: what the contract promises, and what only memory has."""
