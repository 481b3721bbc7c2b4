"""The object API: HTTP in front of StowStore, authenticated and authorized by the API server."""
