"""The Swift driver: objects and containers over aiohttp, tokens by keystoneauth, signed URLs by TempURL."""
