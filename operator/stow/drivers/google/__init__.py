"""The Google driver: objects over aiohttp with bearer tokens, containers, tokens and URL signing over Google's SDKs."""
