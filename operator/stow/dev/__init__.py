"""A whole cluster on one machine: `stow dev` and the test suite start the same control plane and servers from here."""
