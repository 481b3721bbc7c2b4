"""Real: the reconcilers, StowStore, the memory driver, conditions and their publishing.

Fake: the API server (versions, conflicts, finalizers as it has them), time, nonces, the pool of stores. Asserted: outcomes, status, what is
on the backend afterwards, and how many writes it took.
"""
