"""The Azure driver: blobs over aiohttp with own signatures, containers, tokens and URL signing over the Azure SDK."""
