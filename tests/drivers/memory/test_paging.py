"""The pure page cutter against the plain definition: sort everything, fold, take the next ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stow.storage.paging import cut_page

KEYS = st.lists(st.text("ab/%\U0001f600\ufffd", min_size=1, max_size=6), unique=True, max_size=40)


def entries(keys: list[str], prefix: str, delimiter: str | None) -> list[str]:
    folded = set()
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            folded.add(prefix + rest[: rest.index(delimiter) + 1] if delimiter and delimiter in rest else key)
    return sorted(folded, key=lambda text: text.encode())


@given(
    keys=KEYS, prefix=st.text("ab/", max_size=2), delimiter=st.sampled_from([None, "/", "b"]), limit=st.integers(1, 5)
)
def test_pages_in_a_row_give_each_entry_once_in_byte_order(
    keys: list[str], prefix: str, delimiter: str | None, limit: int
) -> None:
    seen: list[str] = []
    token = None
    while True:
        page = cut_page(keys, prefix=prefix, delimiter=delimiter, limit=limit, token=token)
        both = sorted([*page.keys, *page.prefixes], key=lambda text: text.encode())
        assert len(both) <= limit
        seen += both
        token = page.token
        if token is None:
            break
    assert seen == entries(keys, prefix, delimiter)


def test_a_page_of_many_keys_is_the_first_ones_in_whatever_order_they_come() -> None:
    keys = [f"{(n * 7919) % 5000:05d}" for n in range(5000)]
    page = cut_page(iter(keys), prefix="", delimiter=None, limit=10, token="00099")
    assert page.keys == tuple(f"{n:05d}" for n in range(100, 110))
    assert page.token == "00109"


def test_the_last_page_has_no_token_though_it_is_full() -> None:
    assert cut_page(["b", "a"], prefix="", delimiter=None, limit=2, token=None).token is None
