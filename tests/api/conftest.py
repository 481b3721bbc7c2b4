"""Tests of operator/stow/api, which does no I/O.

Real: everything. Fake: the time, which is passed in. Asserted: decisions, as tables, and that no value of any shape ends in
another error than InvalidSpecError.
"""
