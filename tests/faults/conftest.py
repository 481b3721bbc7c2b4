"""Drivers against servers that fail, fall silent, lie and send elsewhere.

Real: the drivers, StowStore above them, sockets and TLS, and each kind's server, which has or has not done what it was asked. Fake: the
resolver of names (injected), the jitter of repetitions (0.0), and what stands between driver and server: the proxy of `proxy.py`, which is
proven with plain sockets in `test_proxy.py` before anything is believed of it. Asserted: the error's class, the number of attempts that
the proxy saw, what the object is afterwards (asked at the server, past the proxy), that nobody was redirected, and that no text of a
backend got out; in `test_calls.py` how many requests each operation costs.

A kind is added in `kinds.py`; a fault or an operation in `table.py`.
"""

from __future__ import annotations
