"""Good and bad specs of the kinds of backends beside s3 and local, for the table in cases.py."""

from typing import Any

from crds.caseform import CSL, SL, Case

CREDENTIALS: dict[str, Any] = {"secretRef": {"name": "keys"}}


def of(member: str, spec: Any, **changes: Any) -> dict[str, Any]:
    """A whole spec of that kind with changes."""
    return {member: spec, "credentials": CREDENTIALS, **changes}


PROJECT = "must be the ID of a project such as acme-storage"
EMAIL = "must be the e-mail address of a service account"
GOOGLE_URL = "must be a URL such as https://gcs.example.com, without user, path, query and fragment"

GOOGLE_BAD = [
    Case("google-beside-local", SL, {"google": {}, "local": {"path": "a"}}, "exactly one of"),
    Case(
        "google-without-credentials",
        SL,
        {"google": {}},
        "credentials are required, one of secretRef, ambient and anonymous",
    ),
    Case("google-project", SL, of("google", {"project": "../x"}), PROJECT),
    Case("google-project-empty", CSL, of("google", {"project": ""}), PROJECT),
    Case("google-endpoint", SL, of("google", {"endpoint": "https://h/storage"}), GOOGLE_URL),
    Case("google-endpoint-user", SL, of("google", {"endpoint": "https://u:p@h"}), GOOGLE_URL),
    Case("google-signer", SL, of("google", {"signerServiceAccount": "stow"}), EMAIL),
    Case("google-signer-path", SL, of("google", {"signerServiceAccount": "a@b/c"}), EMAIL),
    Case(
        "google-token-uri",
        SL,
        of("google", {"tokenURI": "https://h"}),
        'unknown field "spec.google.tokenURI"',
        only_schema=True,
    ),
]

GOOGLE_GOOD = [
    Case("google", SL, of("google", {})),
    Case(
        "google-whole",
        CSL,
        of(
            "google",
            {
                "project": "acme.com:x-1",
                "endpoint": "http://h:4443",
                "signerServiceAccount": "a.b-c@d.iam.gserviceaccount.com",
            },
        ),
    ),
    Case(
        "google-ambient", CSL, of("google", {}, credentials={"ambient": {}}, signedURL={"credentials": {"ambient": {}}})
    ),
    Case("google-anonymous", SL, of("google", {}, credentials={"anonymous": {}})),
]


ACCOUNT = "must be the name of a storage account, 3 to 24 lower-case letters and digits"
AZURE_URL = "must be a URL such as https://acme.blob.core.windows.net, without user, query and fragment"

AZURE_BAD = [
    Case("azure-without-account", SL, of("azure", {}), "spec.azure.account: Required value"),
    Case("azure-account", SL, of("azure", {"account": "Acme"}), ACCOUNT),
    Case("azure-account-short", SL, of("azure", {"account": "ab"}), ACCOUNT),
    Case("azure-account-host", CSL, of("azure", {"account": "h.example#"}), ACCOUNT),
    Case("azure-endpoint", SL, of("azure", {"account": "acme", "endpoint": "https://h?sig=x"}), AZURE_URL),
    Case("azure-endpoint-dots", SL, of("azure", {"account": "acme", "endpoint": "https://h/../x"}), AZURE_URL),
    Case(
        "azure-authority",
        SL,
        of("azure", {"account": "acme", "authority": "https://h"}),
        'unknown field "spec.azure.authority"',
        only_schema=True,
    ),
]

AZURE_GOOD = [
    Case("azure", SL, of("azure", {"account": "acme"})),
    Case(
        "azure-emulator",
        CSL,
        of("azure", {"account": "devstoreaccount1", "endpoint": "http://h:10000/devstoreaccount1"}),
    ),
    Case(
        "azure-ambient",
        CSL,
        of("azure", {"account": "acme"}, credentials={"ambient": {}}, signedURL={"credentials": {"ambient": {}}}),
    ),
    Case("azure-anonymous", SL, of("azure", {"account": "acme"}, credentials={"anonymous": {}})),
]


KEYSTONE = "https://keystone.example:5000/v3"
AUTH_URL = "must be a URL such as https://keystone.example:5000/v3, without user, query and fragment"
V1 = "authentication of version V1 has no region and no project"


def swift(**changes: Any) -> dict[str, Any]:
    spec = {"authURL": KEYSTONE, "projectName": "a", **changes}
    return of("swift", {key: value for key, value in spec.items() if value is not ...})


SWIFT_BAD = [
    Case("swift-without-url", SL, of("swift", {}), "spec.swift.authURL: Required value"),
    Case("swift-url-port", CSL, swift(authURL="https://h:65536/v3"), AUTH_URL),
    Case(
        "swift-anonymous-host",
        SL,
        of("swift", {"authURL": "https://h/"}, credentials={"anonymous": {}}),
        "anonymous swift needs as authURL the storage URL of an account",
    ),
    Case(
        "swift-anonymous-signer",
        CSL,
        of(
            "swift",
            {"authURL": "https://h/v1/AUTH_x"},
            credentials={"anonymous": {}},
            signedURL={"credentials": {"secretRef": {"name": "k"}}},
        ),
        "anonymous swift needs as authURL the storage URL of an account",
    ),
    Case("swift-url", SL, swift(authURL="https://h/v3?x=1"), AUTH_URL),
    Case("swift-url-empty", CSL, swift(authURL=""), AUTH_URL),
    Case("swift-version", SL, swift(authVersion="V2"), 'supported values: "Auto", "V1", "V3"'),
    Case("swift-interface", SL, swift(interface="publicURL"), 'supported values: "public", "internal", "admin"'),
    Case("swift-two-projects", SL, swift(projectID="b"), "projectName and projectID exclude each other"),
    Case("swift-region", SL, swift(region="a\nb"), "must be the name of a region"),
    Case("swift-project-name", SL, swift(projectName=""), "must be the name of a project"),
    Case("swift-project-id", SL, swift(projectName=..., projectID="a/b"), "must be the ID of a project"),
    Case("swift-project-domain", SL, swift(projectDomainName="a\tb"), "must be the name of a domain"),
    Case("swift-user-domain", SL, swift(userDomainName=""), "must be the name of a domain"),
    Case("swift-v1-project", SL, swift(authVersion="V1"), V1),
    Case("swift-v1-by-url", SL, swift(authURL="https://h/auth/v1.0", projectName=..., region="a"), V1),
    Case("swift-v1-by-url-slash", CSL, swift(authURL="https://h/v1/", projectName=..., projectID="a"), V1),
    Case("swift-without-project", SL, swift(projectName=...), "swift with Keystone needs projectName or projectID"),
    Case(
        "swift-without-project-v3",
        CSL,
        swift(projectName=..., authURL="https://h/v1.0", authVersion="V3"),
        "swift with Keystone needs projectName or projectID",
    ),
    Case(
        "swift-ambient",
        CSL,
        of("swift", {"authURL": KEYSTONE, "projectID": "a"}, credentials={"ambient": {}}),
        "no ambient credentials; use secretRef",
    ),
    Case(
        "swift-signs-ambient",
        CSL,
        of("swift", {"authURL": KEYSTONE, "projectID": "a"}, signedURL={"credentials": {"ambient": {}}}),
        "no ambient credentials to sign with; use signedURL.credentials.secretRef",
    ),
]

SWIFT_GOOD = [
    Case("swift", SL, swift()),
    Case("swift-port", SL, swift(authURL="https://h:65535/v3")),
    Case("swift-host-v1", SL, swift(authURL="https://v1")),
    Case("swift-host-v1-cluster", CSL, swift(authURL="https://v1.0/", region="a")),
    Case("swift-v1", SL, of("swift", {"authURL": "https://h/auth/v1.0"})),
    Case(
        "swift-v3-at-v1",
        SL,
        of("swift", {"authURL": "https://h/auth/v1.0", "authVersion": "V3", "region": "a", "projectID": "b"}),
    ),
    Case(
        "swift-whole",
        CSL,
        swift(
            authVersion="V3",
            region="Region One",
            projectName="Größe",
            projectDomainName="a b",
            userDomainName="c",
            interface="internal",
        ),
    ),
    Case("swift-anonymous", SL, of("swift", {"authURL": "https://h/v1/AUTH_x"}, credentials={"anonymous": {}})),
]


ORACLE = {"namespace": "acme", "region": "eu-frankfurt-1"}

REGION = "must be the identifier of a region such as eu-frankfurt-1"

ORACLE_BAD = [
    Case("oracle-without-region", SL, of("oracle", {"namespace": "a"}), "spec.oracle.region: Required value"),
    Case(
        "oracle-without-namespace",
        SL,
        of("oracle", {"region": "eu-frankfurt-1"}),
        "spec.oracle.namespace: Required value",
    ),
    Case(
        "oracle-namespace",
        SL,
        of("oracle", {**ORACLE, "namespace": "a.b"}),
        "must be the Object Storage namespace of a tenancy",
    ),
    Case("oracle-region", CSL, of("oracle", {**ORACLE, "region": "eu.example"}), REGION),
    Case(
        "oracle-endpoint",
        SL,
        of("oracle", {**ORACLE, "endpoint": "https://h/x"}),
        "must be a URL such as https://s3.example.com:9000",
    ),
    Case(
        "oracle-ambient",
        CSL,
        of("oracle", ORACLE, credentials={"ambient": {}}),
        "no ambient credentials; use secretRef",
    ),
    Case(
        "oracle-anonymous",
        SL,
        of("oracle", ORACLE, credentials={"anonymous": {}}),
        "oracle has no anonymous access by its S3 API",
    ),
    Case(
        "oracle-signs-ambient",
        CSL,
        of("oracle", ORACLE, signedURL={"credentials": {"ambient": {}}}),
        "no ambient credentials to sign with",
    ),
]

ORACLE_GOOD = [
    Case("oracle", SL, of("oracle", ORACLE)),
    Case(
        "oracle-whole",
        CSL,
        of("oracle", {**ORACLE, "endpoint": "https://h:9000"}, signedURL={"credentials": {"secretRef": {"name": "s"}}}),
    ),
]

BAD = [
    *GOOGLE_BAD,
    *AZURE_BAD,
    *SWIFT_BAD,
    *ORACLE_BAD,
]
GOOD = [
    *GOOGLE_GOOD,
    *AZURE_GOOD,
    *SWIFT_GOOD,
    *ORACLE_GOOD,
]

SMALL: dict[str, Any] = {
    "google": {},
    "azure": {"account": "acme"},
    "swift": {"authURL": KEYSTONE, "projectID": "a"},
    "oracle": ORACLE,
}
"""The smallest spec of each of these kinds."""
