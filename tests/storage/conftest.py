"""Real: the storage layer. Fake: drivers that answer what a test wants, and the clock. Asserted: what is decided without I/O, and what
StowStore makes of a driver's answers. What every backend promises is in the conformance suite."""

from __future__ import annotations

import hypothesis

# The same examples in every run, and no limit on a busy machine's time.
hypothesis.settings.register_profile("storage", deadline=None, derandomize=True)
hypothesis.settings.load_profile("storage")
