"""What the gateway is told: limits and deadlines. Data only; every number carries its reason, tests inject small ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. What passes one is cut, together with its call to the backend."""

    header_s: float = 10.0
    """From a connection's start, or a later request's first byte, to the end of its headers."""
    keep_alive_s: float = 75.0
    """Of an idle connection between requests; longer than the 60 s after which common ingresses drop theirs."""
    body_idle_s: float = 30.0
    """Between two pieces of a request's body."""
    write_idle_s: float = 30.0
    """Without the client taking a single byte of what waits for it."""
    first_byte_s: float = 30.0
    """For the backend to open a read."""
    backend_idle_s: float = 30.0
    """Between two pieces of a read, and for the backend to take a piece of a write or confirm the whole."""
    backend_total_s: float = 30.0
    """For head, list, delete and sign."""
    copy_s: float = 3600.0
    """For a copy: 5 GiB and more, perhaps through this process."""
    review_s: float = 10.0
    """For one TokenReview, SubjectAccessReview or read of a custom resource."""
    linger_s: float = 1.0
    """How long a refused upload is still read, so that the client gets to see the answer before its socket is reset."""
    sweep_s: float = 0.25
    """How often connections are looked at for clients that went away or take nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused with 413, 414, 429, 431 or 503."""

    max_connections: int = 4096
    max_requests: int = 512
    """In flight, whole process: 512 x about 0.5 MiB of buffers stay below 256 MiB."""
    max_requests_per_identity: int = 128
    max_reviews: int = 64
    """TokenReviews and SubjectAccessReviews in flight: a flood of invented tokens must not become one on the API server."""
    max_reviews_each: int = 16
    """TokenReviews for one address and SubjectAccessReviews for one identity; further ones wait. Below ``max_reviews``, or whoever invents
    tokens or asks about many names that do not exist shuts out all others."""
    max_object_bytes: int | None = None
    """None: what the location and its backend take."""
    max_target_bytes: int = 12 * KIB
    """Of a request target: a key of 1,024 bytes takes 3,072 characters, a cursor 8,192. Differs from the next, or 414 reads as 431."""
    max_field_bytes: int = 16 * KIB
    """Of one header field: tokens of some clouds exceed 8 KiB."""
    max_header_bytes: int = 64 * KIB
    max_headers: int = 100
    max_document_bytes: int = 16 * KIB
    """Of a JSON body (sign, copy)."""
    read_buffer_bytes: int = 64 * KIB
    """Of each connection; reading pauses at twice this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """How long what the API server said is believed, in seconds, and for how many askers."""

    token_s: float = 60.0
    token_refused_s: float = 3.0
    access_s: float = 30.0
    access_refused_s: float = 3.0
    resource_s: float = 2.0
    """Of a custom resource that the watch did not know yet, or its absence."""
    max_entries: int = 10_000
    """Some hundred bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """All of it. ``audience`` is what the 401 tells people to project; the reviewer checks it."""

    audience: str = "stowstore.io"
    deadlines: Deadlines = field(default_factory=Deadlines)
    limits: Limits = field(default_factory=Limits)
    caching: Caching = field(default_factory=Caching)
    drain_delay_s: float = 0.0
    """Between "not ready" and the end of listening: until load balancers have noticed."""
    drain_grace_s: float = 25.0
    """For running requests after that; below Kubernetes' default of 30 s until SIGKILL."""
    redirect_min_bytes: int = 8 * MIB
    """Smaller objects are served even where a client takes redirects: a second connection costs more."""
