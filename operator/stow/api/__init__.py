"""What the custom resources mean: typed spec and status, conditions and reasons, without any I/O."""
