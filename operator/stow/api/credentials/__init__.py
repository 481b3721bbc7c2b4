"""Which Secrets are taken as credentials: one closed list of keys for each kind of backend, and typed results that print no secret."""
