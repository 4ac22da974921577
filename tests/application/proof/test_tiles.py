"""Every proof comes out of the tiles, and tiles that grew are the tiles of the whole tree."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.proof.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    root_of,
)
from application.proof.tiles import (
    WIDTH,
    Growing,
    Read,
    Tile,
    Tiled,
    TileMissing,
    node_of,
    tiles_of,
)

MOST = 70_000
LEAVES = [sha256(n.to_bytes(4)).digest() for n in range(MOST)]
sizes = st.one_of(
    st.integers(1, 600),
    st.sampled_from([WIDTH, WIDTH + 1, 2 * WIDTH, WIDTH**2 - 1, WIDTH**2, WIDTH**2 + 1, MOST]),
)


def tiles(size: int) -> dict[tuple[int, int], bytes]:
    return Growing().grow(LEAVES[:size])


def reading(held: dict[tuple[int, int], bytes]) -> Read:
    return lambda tile: held[tile.level, tile.place]


@pytest.fixture(scope="module")
def held() -> dict[tuple[int, int], bytes]:
    return tiles(MOST)


def root(size: int) -> bytes:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    return frontier.root()


@settings(deadline=None, max_examples=25)
@given(sizes, st.data())
def test_proofs_out_of_tiles_verify(
    held: dict[tuple[int, int], bytes], size: int, data: st.DataObject
) -> None:
    node, whole = node_of(size, reading(held)), root(size)
    index, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert root_of(0, size, node) == whole
    check_inclusion(LEAVES[index], index, size, inclusion_path(index, size, node), whole)
    proof = consistency_path(first, size, node)
    check_consistency(first, root(first), size, whole, proof)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_tiles_that_grew_are_the_tiles_of_the_whole(steps: list[int]) -> None:
    growing, held, size = Growing(), dict[tuple[int, int], bytes](), 0
    for step in steps:
        held |= growing.grow(LEAVES[size : size + step])
        size += step
    assert held == tiles(size)
    assert growing.size == size


@given(st.integers(0, 1500), st.integers(0, 1500))
def test_what_changed_between_two_sizes_is_what_is_named(before: int, more: int) -> None:
    growing = Growing()
    growing.grow(LEAVES[:before])
    changed = growing.grow(LEAVES[before : before + more])
    named = {(t.level, t.place): t.width for t in tiles_of(before + more, since=before)}
    assert {place: len(hashes) // 32 for place, hashes in changed.items()} == named


def test_a_tree_goes_on_from_the_ends_of_its_levels() -> None:
    size = WIDTH + 5
    held = tiles(size)
    ends = [[held[0, 1][n : n + 32] for n in range(0, 160, 32)], [held[1, 0]]]
    again = Growing(size, ends)
    changed = again.grow(LEAVES[size : size + 600])
    assert {**held, **changed} == tiles(size + 600)


def test_ends_that_are_not_the_tree_s_are_refused() -> None:
    with pytest.raises(ValueError, match="ends otherwise"):
        Growing(WIDTH + 5, [[bytes(32)] * 4, [bytes(32)]])


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 273), "tile/0/273"),
        (Tile(1, 1234067), "tile/1/x001/x234/067"),
        (Tile(0, 1000, 8), "tile/0/x001/000.p/8"),
    ],
)
def test_tiles_have_the_names_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path


def test_a_node_that_is_not_whole_is_in_no_tile(held: dict[tuple[int, int], bytes]) -> None:
    tree = Tiled(WIDTH + 5, reading(held))
    with pytest.raises(TileMissing):
        tree.node(3, WIDTH // 8)  # eight leaves, of which there are five
    with pytest.raises(TileMissing):
        tree.node(0, 2 * WIDTH)


def test_a_tile_that_was_cut_short_is_missing() -> None:
    with pytest.raises(TileMissing, match="has not 5 hashes"):
        Tiled(5, lambda _: bytes(4 * 32)).node(0, 0)


@pytest.mark.parametrize(
    "tile", [Tile(0, 0), Tile(0, 0, 1), Tile(3, 999), Tile(1, 1000, 255), Tile(7, 1234067)]
)
def test_a_path_leads_to_its_tile(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/8/000",
        "tile/0/x000/000",
        "tile/0/1000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/000/",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_another_path_leads_nowhere(path: str) -> None:
    with pytest.raises(TileMissing):
        Tile.parse(path)
