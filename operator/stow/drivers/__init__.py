"""Drivers: one package a kind, independent of each other, each the only importer of its SDK."""
