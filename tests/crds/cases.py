"""Good and bad specs of the three kinds, each bad one with the words that its author reads.

One table for two judges: the schema in the API server, and operator/stow/api for what came past the schema.
"""

from typing import Any

from crds import kinds
from crds.caseform import CSL, SC, SL, Case


def s3(**changes: Any) -> dict[str, Any]:
    """A whole spec of an S3 location with changes; `...` takes a field away."""
    spec: dict[str, Any] = {
        "s3": {"endpoint": "https://s3.example.com", "region": "eu-central-1"},
        "credentials": {"secretRef": {"name": "keys"}},
    }
    spec |= changes
    return {key: value for key, value in spec.items() if value is not ...}


def endpoint(url: Any) -> dict[str, Any]:
    return s3(s3={"endpoint": url})


def local(path: Any, **changes: Any) -> dict[str, Any]:
    return {"local": {"path": path}, **changes}


def signed(**changes: Any) -> dict[str, Any]:
    return s3(signedURL=changes)


def container(**changes: Any) -> dict[str, Any]:
    return {"locationRef": {"kind": SL, "name": "primary"}, **changes}


TAG_KEY = "keys must be 1 to 63 letters, digits and inner '.', '_' and '-'"
UNION = "exactly one of s3, google, azure, swift, oracle and local must be set"
URL = "must be a URL such as https://s3.example.com:9000, without user, path, query and fragment"
SIGNED_URL = "must be a URL such as https://objects.example.com, without user, query and fragment"
PATH = "must be a relative path such as data/media"
CREDENTIALS = "exactly one of secretRef, ambient and anonymous must be set"
BUNDLE = "exactly one of secretRef and configMapRef must be set"
SIGNER = "exactly one of secretRef and ambient must be set; anonymous signs nothing"
NAME = "must be 3 to 63 lower-case letters, digits, hyphens and single inner dots, and no IP address"
PATTERN = "must consist of lower-case letters, digits, '.', '-', '*' and {namespace}"
PROBE = "must be a duration such as 5m or 1h30m, at least 1s and at most 24h"
DEFAULT_TTL = "must be a duration such as 15m or 1h30m, at least 1s"
MAX_TTL = "must be a duration such as 15m or 1h30m, at least 1s and at most 168h"
DYNAMIC = "on a ClusterStowLocation dynamicContainers need a namePattern that contains {namespace}"
SELECTOR = "an empty selector is refused; for every namespace write"
TERM = "values must be there for In and NotIn, and absent for Exists and DoesNotExist"

_URLS = {
    "scheme": "ftp://h",
    "no-scheme": "s3.example.com",
    "user": "https://user:pass@h",
    "path": "https://h/bucket",
    "query": "https://h?x=1",
    "fragment": "https://h#x",
    "backslash": "https://h\\@evil",
    "space": "https://h h",
    "line-break": "https://h\n",
    "empty": "",
    "port-zero": "https://h:0",
    "port-text": "https://h:http",
    "no-host": "https://:9000",
}
_PATHS = {
    "absolute": "/etc",
    "parent": "..",
    "inner-parent": "a/../../b",
    "empty-segment": "a//b",
    "trailing-slash": "a/",
    "current": "./a",
    "empty": "",
    "hidden": "a/.b",
    "backslash": "a\\b",
    "percent": "%2e%2e/a",
    "line-break": "a\n",
    "tilde": "~root",
}
_NAMES = {
    "short": "ab",
    "upper": "Reports",
    "underscore": "a_b_c",
    "leading-hyphen": "-abc",
    "trailing-dot": "abc.",
    "two-dots": "a..b",
    "dot-hyphen": "a.-b",
    "hyphen-dot": "a-.b",
    "address": "192.168.0.1",
    "slash": "a/b/c",
    "umlaut": "bücher",
    "line-break": "abc\n",
    "empty": "",
}
_PATTERNS = {
    "upper": "A*",
    "slash": "a/*",
    "other-token": "{name}-*",
    "open": "{namespace-*",
    "empty": "",
    "regex": "a+",
}

BAD = [
    Case("no-backend", SL, s3(s3=...), UNION),
    Case("two-backends", SL, s3(local={"path": "a"}, credentials=...), UNION),
    Case("spec-empty", SL, {}, UNION),
    Case("spec-no-object", SL, "text", "must be of type object"),
    Case("no-credentials", SL, s3(credentials=...), "credentials are required, one of secretRef, ambient and anonymous"),
    Case("local-credentials", SL, local("a", credentials={"anonymous": {}}), "a local location takes no credentials"),
    Case("two-credentials", SL, s3(credentials={"secretRef": {"name": "a"}, "anonymous": {}}), CREDENTIALS),
    Case("empty-credentials", SL, s3(credentials={}), CREDENTIALS),
    Case("three-credentials", CSL, s3(credentials={"secretRef": {"name": "a"}, "anonymous": {}, "ambient": {}}), CREDENTIALS),
    Case("secret-without-name", SL, s3(credentials={"secretRef": {}}), "spec.credentials.secretRef.name: Required value"),
    Case("secret-bad-name", SL, s3(credentials={"secretRef": {"name": "A/b"}}), "must be the name of a Secret"),
    Case("secret-of-a-namespace", SL, s3(credentials={"secretRef": {"name": "a", "namespace": "b"}}), 'unknown field "spec.credentials.secretRef.namespace"', only_schema=True),  # noqa: E501
    Case("bundle-empty", SL, s3(caBundle={}), BUNDLE),
    Case("bundle-two", SL, s3(caBundle={"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}}), BUNDLE),
    Case("bundle-of-local", SL, local("a", caBundle={"secretRef": {"name": "a"}}), "a local location takes no caBundle"),
    Case("bundle-without-name", CSL, s3(caBundle={"configMapRef": {"key": "a"}}), "spec.caBundle.configMapRef.name: Required value"),
    Case("bundle-secret-name", SL, s3(caBundle={"secretRef": {"name": "A/b"}}), "must be the name of a Secret"),
    Case("bundle-map-name", SL, s3(caBundle={"configMapRef": {"name": "../a"}}), "must be the name of a ConfigMap"),
    Case("bundle-key", SL, s3(caBundle={"secretRef": {"name": "a", "key": "a/b"}}), "must be the name of a key such as ca.crt"),
    Case("bundle-key-empty", SL, s3(caBundle={"configMapRef": {"name": "a", "key": ""}}), "must be the name of a key such as ca.crt"),
    Case("bundle-inline", SL, s3(caBundle={"inline": "x", "secretRef": {"name": "a"}}), 'unknown field "spec.caBundle.inline"', only_schema=True),  # noqa: E501
    Case("bundle-of-a-namespace", SL, s3(caBundle={"secretRef": {"name": "a", "namespace": "b"}}), 'unknown field "spec.caBundle.secretRef.namespace"', only_schema=True),  # noqa: E501
    Case("no-skip-verify", SL, s3(s3={"region": "a", "insecureSkipVerify": True}), 'unknown field "spec.s3.insecureSkipVerify"', only_schema=True),  # noqa: E501
    Case("neither-endpoint-nor-region", SL, s3(s3={}), "s3 needs an endpoint or a region"),
    Case("region", SL, s3(s3={"region": "eu central"}), "must be the name of a region such as eu-central-1"),
    Case("addressing-style", SL, s3(s3={"region": "a", "addressingStyle": "path"}), 'supported values: "Auto", "Path", "Virtual"'),
    Case("dialect", SL, s3(s3={"region": "a", "dialect": "Wasabi"}), 'supported values: "Auto", "AWS", "MinIO"'),
    Case("local-without-path", SL, {"local": {}}, "spec.local.path: Required value"),
    Case("base-without-name", SL, s3(baseContainer={}), "spec.baseContainer.name: Required value"),
    Case("dynamic-flag", SL, s3(dynamicContainers={"enabled": "yes"}), "must be of type boolean"),
    Case("signed-methods", SL, signed(methods=["GET", "POST"]), 'supported values: "GET", "PUT", "HEAD", "DELETE"'),
    Case("signed-methods-twice", SL, signed(methods=["GET", "GET"]), "Duplicate value"),
    Case("signed-methods-none", SL, signed(methods=[]), "should have at least 1 items"),
    Case("signing-anonymous", SL, signed(credentials={"anonymous": {}}), 'unknown field "spec.signedURL.credentials.anonymous"'),
    Case("signing-empty", SL, signed(credentials={}), SIGNER),
    Case("signing-two", CSL, signed(credentials={"secretRef": {"name": "a"}, "ambient": {}}), SIGNER),
    Case("signing-without-name", SL, signed(credentials={"secretRef": {}}), "spec.signedURL.credentials.secretRef.name: Required value"),
    Case("signing-bad-name", SL, signed(credentials={"secretRef": {"name": "A"}}), "must be the name of a Secret"),
    Case("signing-of-local", SL, local("a", signedURL={"credentials": {"secretRef": {"name": "a"}}}), "a local location signs with the operator's keys"),  # noqa: E501
    Case("default-ttl-over-max", SL, signed(defaultTTL="2h", maxTTL="1h"), "defaultTTL (15m unless set) must not be longer than maxTTL (1h unless set)"),  # noqa: E501
    Case("default-ttl-over-small-max", SL, signed(maxTTL="5m"), "defaultTTL (15m unless set) must not be longer than maxTTL (1h unless set)"),  # noqa: E501
    Case("default-ttl-zero", SL, signed(defaultTTL="0s"), DEFAULT_TTL),
    Case("default-ttl-negative", SL, signed(defaultTTL="-5m"), DEFAULT_TTL),
    Case("default-ttl-text", SL, signed(defaultTTL="soon"), DEFAULT_TTL),
    Case("default-ttl-empty", SL, signed(defaultTTL=""), DEFAULT_TTL),
    Case("default-ttl-five-parts", SL, signed(defaultTTL="1s1s1s1s1s"), DEFAULT_TTL),
    Case("max-ttl-long", SL, signed(maxTTL="169h"), MAX_TTL),
    Case("max-ttl-huge", SL, signed(maxTTL="999999999h"), MAX_TTL),
    Case("max-ttl-empty", SL, signed(maxTTL=""), MAX_TTL),
    Case("max-ttl-zero", SL, signed(maxTTL="0h"), MAX_TTL),
    Case("probe-number", SL, s3(probeInterval="300"), PROBE),
    Case("probe-short", SL, s3(probeInterval="999ms"), PROBE),
    Case("probe-long", SL, s3(probeInterval="24h1s"), PROBE),
    Case("probe-fraction", SL, s3(probeInterval="1.5h"), PROBE),
    Case("limit-zero", SL, s3(limits={"maxReadBytes": 0}), "should be greater than or equal to 1"),
    Case("limit-negative", SL, s3(limits={"maxWriteBytes": -1}), "should be greater than or equal to 1"),
    Case("limit-text", SL, s3(limits={"maxReadBytes": "1Gi"}), "must be of type integer"),
    Case("suspend-text", SL, s3(suspend="true"), "must be of type boolean"),
    Case("allowed-on-namespaced", SL, s3(allowedNamespaces={"names": ["a"]}), 'unknown field "spec.allowedNamespaces"'),
    Case("loadable-on-namespaced", SL, s3(loadableContainers=[{"namespace": "a", "name": "abc"}]), 'unknown field "spec.loadableContainers"'),  # noqa: E501
    Case("dynamic-without-pattern", CSL, s3(dynamicContainers={"enabled": True}), DYNAMIC),
    Case("dynamic-without-namespace", CSL, s3(dynamicContainers={"enabled": True, "namePattern": "a-*"}), DYNAMIC),
    Case("selector-empty", CSL, s3(allowedNamespaces={"selector": {}}), SELECTOR),
    Case("selector-empty-labels", CSL, s3(allowedNamespaces={"selector": {"matchLabels": {}}}), SELECTOR),
    Case("term-in-without-values", CSL, s3(allowedNamespaces={"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}), TERM),
    Case("term-exists-with-values", CSL, s3(allowedNamespaces={"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}), TERM),  # noqa: E501
    Case("term-operator", CSL, s3(allowedNamespaces={"selector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}), 'supported values: "In", "NotIn"'),  # noqa: E501
    Case("allowed-name", CSL, s3(allowedNamespaces={"names": ["Team_A"]}), "spec.allowedNamespaces.names[0]"),
    Case("loadable-name", CSL, s3(loadableContainers=[{"namespace": "a", "name": "A"}]), NAME),
    Case("loadable-namespace", CSL, s3(loadableContainers=[{"namespace": "A", "name": "abc"}]), "spec.loadableContainers[0].namespace"),
    Case("loadable-twice", CSL, s3(loadableContainers=[{"namespace": "a", "name": "abc"}] * 2), "Duplicate value", only_schema=True),
    Case("no-location", SC, {}, "spec.locationRef: Required value"),
    Case("location-without-name", SC, {"locationRef": {"kind": SL}}, "spec.locationRef.name: Required value"),
    Case("location-kind", SC, {"locationRef": {"kind": "Secret", "name": "a"}}, 'supported values: "StowLocation", "ClusterStowLocation"'),
    Case("location-name", SC, {"locationRef": {"name": "../a"}}, "must be the name of a location"),
    Case("location-namespace", SC, {"locationRef": {"name": "a", "namespace": "b"}}, 'unknown field "spec.locationRef.namespace"', only_schema=True),  # noqa: E501
    Case("provision", SC, container(provision="Adopt"), 'supported values: "Create", "Load", "LoadOrCreate"'),
    Case("deletion-policy", SC, container(deletionPolicy="Delete"), 'supported values: "Retain", "DeleteIfEmpty"'),
    Case("tags-list", SC, container(tags=["a"]), "spec.tags in body must be of type object"),
    Case("tags-number", SC, container(tags={"a": 1}), "spec.tags.a in body must be of type string"),
    Case("tags-many", SC, container(tags={f"k{at}": "v" for at in range(41)}), "must have at most 40 items"),
    Case("tags-key", SC, container(tags={"a b": "v"}), TAG_KEY),
    Case("tags-key-empty", SC, container(tags={"": "v"}), TAG_KEY),
    Case("tags-key-unicode", SC, container(tags={"ü": "v"}), TAG_KEY),
    Case("tags-key-line", SC, container(tags={"a\n": "v"}), TAG_KEY),
    Case("tags-key-long", SC, container(tags={"k" * 64: "v"}), TAG_KEY),
    Case("tags-key-huge", SC, container(tags={"k" * 100_000: "v"}), TAG_KEY),
    Case("tags-key-mark", SC, container(tags={"StowStore.io-uid": "v"}), "keys must not begin with stowstore, which is the owner's mark"),
    Case("tags-long", SC, container(tags={"a": "v" * 256}), "may not be more than 255"),
    Case("versioning", SC, container(versioning="Enabled"), "must be of type boolean"),
    Case("expiry-negative", SC, container(expireAfterDays=-1), "should be greater than or equal to 0"),
    Case("expiry-long", SC, container(expireAfterDays=36501), "should be less than or equal to 36500"),
    Case("expiry-text", SC, container(expireAfterDays="30d"), "must be of type integer"),
    Case("drift-policy", SC, container(driftPolicy="Ignore"), 'supported values: "Report", "Enforce"'),
    Case("object-name-dots", SC, container(), "the name of the object cannot be the name of a container", name="1.2.3.4", only_schema=True),
    Case("object-name-short", SC, container(), "the name of the object cannot be the name of a container", name="ab", only_schema=True),
    Case("object-name-long", SC, {"locationRef": {"kind": CSL, "name": "a"}}, "the name of the object is too long for the name of a container", name="a" * 62, only_schema=True),  # noqa: E501
    *(Case(f"endpoint-{id_}", SL, endpoint(url), URL) for id_, url in _URLS.items()),
    *(Case(f"signed-endpoint-{id_}", SL, signed(endpoint=url), SIGNED_URL) for id_, url in _URLS.items() if id_ != "path"),
    Case("signed-endpoint-path", SL, signed(endpoint="https://h/files"), "signedURL.endpoint has no path for s3, google and oracle"),
    Case("signed-endpoint-dots", SL, signed(endpoint="https://h/a/../b"), SIGNED_URL),
    *(Case(f"path-{id_}", SL, local(path), PATH) for id_, path in _PATHS.items()),
    *(Case(f"base-{id_}", SL, s3(baseContainer={"name": name}), NAME) for id_, name in _NAMES.items()),
    *(Case(f"container-{id_}", SC, container(containerName=name), NAME) for id_, name in _NAMES.items()),
    *(Case(f"pattern-{id_}", SL, s3(containerNamePattern=text), PATTERN) for id_, text in _PATTERNS.items()),
    *(Case(f"dynamic-{id_}", SL, s3(dynamicContainers={"namePattern": text}), PATTERN) for id_, text in _PATTERNS.items()),
    *(
        Case(f"later-{field}", SL, s3(**{field: {}}), f'unknown field "spec.{field}"', only_schema=True)
        for field in ("driftPolicy",)
    ),
    *(
        Case(f"later-{field}", SC, container(**{field: "x"}), f'unknown field "spec.{field}"', only_schema=True)
        for field in ("deletionConfirmation",)
    ),
    *kinds.BAD,
    Case("later-delete-all", SC, container(deletionPolicy="DeleteAll"), 'Unsupported value: "DeleteAll"'),
]  # fmt: skip

GOOD = [
    Case("secret", SL, s3()),
    Case("anonymous", SL, s3(credentials={"anonymous": {}})),
    Case("ambient", CSL, s3(credentials={"ambient": {}})),
    Case("aws", SL, s3(s3={"region": "us-east-1"})),
    Case("host-and-port", SL, endpoint("http://minio.storage.svc:9000")),
    Case("trailing-slash", SL, endpoint("https://h/")),
    Case("address", SL, endpoint("https://[2001:db8::1]:9000")),
    Case("bundle-secret", SL, s3(caBundle={"secretRef": {"name": "tls"}})),
    Case("bundle-map", CSL, s3(caBundle={"configMapRef": {"name": "a.b", "key": "root_1.pem"}})),
    Case("local", SL, local("data/media-1/v1.2_x")),
    Case("local-cluster", CSL, local("data")),
    Case("base", SL, s3(baseContainer={"name": "my.reports-2026", "createIfNotFound": True})),
    Case("dynamic", SL, s3(dynamicContainers={"enabled": True})),
    Case("dynamic-cluster", CSL, s3(dynamicContainers={"enabled": True, "namePattern": "x-{namespace}-*"})),
    Case("dynamic-cluster-off", CSL, s3(dynamicContainers={})),
    Case("signed", SL, signed(endpoint="https://h/", methods=["HEAD", "PUT", "DELETE", "GET"], defaultTTL="168h", maxTTL="604800s")),
    Case("signed-empty", SL, signed()),
    Case("signed-local-path", CSL, local("a", signedURL={"endpoint": "https://h/files"})),
    Case("signing-secret", SL, signed(credentials={"secretRef": {"name": "signer"}})),
    Case("signing-ambient", CSL, signed(credentials={"ambient": {}}, endpoint="https://h")),
    Case("limits", SL, s3(limits={"maxReadBytes": 1, "maxWriteBytes": 2**63 - 1})),
    Case("durations", SL, s3(probeInterval="1h30m15s500ms")),
    Case("suspend", SL, s3(suspend=True)),
    Case("allowed", CSL, s3(allowedNamespaces={"names": ["team-a"], "selector": {"matchLabels": {"a/b": ""}, "matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}, {"key": "z", "operator": "Exists"}]}})),  # noqa: E501
    Case("allowed-empty", CSL, s3(allowedNamespaces={})),
    Case("loadable", CSL, s3(loadableContainers=[{"namespace": "a", "name": "abc"}, {"namespace": "b", "name": "abc"}])),
    Case("container", SC, container()),
    Case("container-default-kind", SC, {"locationRef": {"name": "primary"}}),
    Case("container-cluster", SC, {"locationRef": {"kind": CSL, "name": "shared"}}, name="ab"),
    Case("container-named", SC, container(containerName="a" * 63, provision="LoadOrCreate", deletionPolicy="DeleteIfEmpty", suspend=True), name="x"),  # noqa: E501
    Case("container-settings", SC, container(tags={"a.b-c": "", "x": "ü y"}, versioning=False, expireAfterDays=0, driftPolicy="Enforce")),
    Case("container-tags", SC, container(tags={f"{at:02}.{'k' * 60}": "v" * 255 for at in range(40)})),
    Case("container-load", SC, container(provision="Load")),
    *kinds.GOOD,
]  # fmt: skip
