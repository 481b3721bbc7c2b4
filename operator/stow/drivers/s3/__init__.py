"""The S3 driver: objects over aiohttp with own signatures, containers and URL signing over the AWS SDK."""
