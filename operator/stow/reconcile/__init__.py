"""Decisions: (spec, observed, ports) to an Outcome. No kopf, no HTTP."""
