"""MinIO as the tests start it: the server of `stow dev` under a name that test modules import."""

from __future__ import annotations

from stow.dev.minio import MinioServer, start_minio

__all__ = ["MinioServer", "start_minio"]
