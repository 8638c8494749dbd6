"""The sharing schemes: who holds what."""

from __future__ import annotations

from itertools import combinations

import pytest

from mpc_ops.schemes import Scheme, scheme

SCHEMES = [scheme("additive", n) for n in range(2, 8)] + [scheme("replicated", 3)]
named = pytest.mark.parametrize("s", SCHEMES, ids=lambda s: f"{s.name}-{s.parties}")


def held_together(s: Scheme, parties: tuple[int, ...]) -> set[int]:
    return {component for party in parties for component in s.held_by(party)}


@named
def test_private_subsets_lack_a_component(s: Scheme) -> None:
    """No set of parties up to the scheme's claim holds everything, whichever parties they are."""
    for size in range(s.private_against + 1):
        for parties in combinations(range(s.parties), size):
            assert held_together(s, parties) < set(range(s.components))


@named
def test_enough_subsets_have_all_components(s: Scheme) -> None:
    """Any `enough` parties can reveal, and one fewer cannot."""
    for parties in combinations(range(s.parties), s.enough):
        assert held_together(s, parties) == set(range(s.components))
    assert s.enough == s.private_against + 1


@named
def test_lies_show_where_components_are_held_twice(s: Scheme) -> None:
    """For every set of liars within the claim, an honest party holds each component too."""
    for liars in combinations(range(s.parties), s.tolerates_lies):
        for component in range(s.components):
            assert set(s.holders(component)) - set(liars)


@named
def test_holders_is_the_inverse_of_held_by(s: Scheme) -> None:
    """The two views of the table agree and are ascending."""
    for component in range(s.components):
        assert s.holders(component) == tuple(p for p in range(s.parties) if component in s.held_by(p))
    for party in range(s.parties):
        assert list(s.held_by(party)) == sorted(set(s.held_by(party)))


def test_replicated_is_the_published_assignment() -> None:
    """Party i holds components i and i + 1 modulo 3."""
    s = scheme("replicated", 3)
    assert [set(s.held_by(i)) for i in range(3)] == [{i, (i + 1) % 3} for i in range(3)]
    assert (s.code, s.components, s.enough, s.tolerates_lies) == (2, 3, 2, 1)
    assert (scheme("additive", 4).code, scheme("additive", 4).components) == (1, 4)


@pytest.mark.parametrize(("name", "parties"), [("additive", 1), ("replicated", 2), ("replicated", 4), ("shamir", 3)])
def test_schemes_that_do_not_exist(name: str, parties: int) -> None:
    """A name or number of parties without a definition is refused."""
    with pytest.raises(ValueError, match="shar"):
        scheme(name, parties)


@named
def test_numbers_out_of_range(s: Scheme) -> None:
    """-1 is no party, though Python would take the last one."""
    for wrong in (-1, s.parties):
        with pytest.raises(ValueError, match="party"):
            s.held_by(wrong)
    for wrong in (-1, s.components):
        with pytest.raises(ValueError, match="component"):
            s.holders(wrong)
