"""Adapters that implement the ports of ``reconcile`` against the API server."""
