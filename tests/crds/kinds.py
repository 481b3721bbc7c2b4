"""Good and bad specs of the kinds of backends beside s3 and local, for the table in cases.py."""

from typing import Any

from crds.caseform import CSL, SL, Case

CREDENTIALS: dict[str, Any] = {"secretRef": {"name": "keys"}}


def of(member: str, spec: Any, **changes: Any) -> dict[str, Any]:
    """A whole spec of that kind with changes."""
    return {member: spec, "credentials": CREDENTIALS, **changes}


ORACLE = {"namespace": "acme", "region": "eu-frankfurt-1"}

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
    Case(
        "oracle-region",
        CSL,
        of("oracle", {**ORACLE, "region": "eu.example"}),
        "must be the identifier of a region such as eu-frankfurt-1",
    ),
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
        "oracle has no anonymous access by its S3 API; use secretRef",
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
    *ORACLE_BAD,
]
GOOD = [
    *ORACLE_GOOD,
]

SMALL: dict[str, Any] = {"oracle": ORACLE}
"""The smallest spec of each of these kinds."""
