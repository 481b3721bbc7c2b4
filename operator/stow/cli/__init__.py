"""Composition: builds the parts and runs them."""
