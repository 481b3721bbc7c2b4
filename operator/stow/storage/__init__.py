"""The portable StowStore: what users of every kind of location get, above the drivers' contract."""
