"""Two trees become the teams that a push touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.branch.repository_state import request_paths_of, requests_of
from shared.branch.tree_diff import TreeDiff, diff_trees
from shared.git import Entry, Tree
from shared.requests.paths import DEFAULT_CATALOG_PATH, RequestPaths

PATHS = RequestPaths()
ALPHA, BRAVO = "tenant-access/config/alpha/access.yaml", "developer-requests/bravo/access.yaml"


def _tree(**files: str) -> Tree:
    known = {
        "alpha": ALPHA,
        "bravo": BRAVO,
        "catalog": DEFAULT_CATALOG_PATH,
        "readme": "README.md",
        "typo": ALPHA.replace(".yaml", ".yml"),
    }
    return {known[name]: Entry(blob, "100644") for name, blob in files.items()}


def _touched(before: Tree, after: Tree) -> TreeDiff:
    return diff_trees(before, after, PATHS, DEFAULT_CATALOG_PATH)


def test_what_is_new_changed_and_gone_is_told_apart() -> None:
    touched = _touched(_tree(alpha="1", readme="1"), _tree(bravo="1", readme="2"))
    assert (touched.changed, touched.removed, touched.catalog) == ((BRAVO,), (ALPHA,), False)
    assert _touched(_tree(alpha="1"), _tree(alpha="2")).changed == (ALPHA,)


def test_the_first_push_has_everything_new_and_nothing_gone() -> None:
    touched = _touched({}, _tree(alpha="1", bravo="1", catalog="1"))
    assert (touched.changed, touched.removed, touched.catalog) == ((BRAVO, ALPHA), (), True)


def test_a_file_that_becomes_a_link_has_changed() -> None:
    assert _touched({ALPHA: Entry("1", "100644")}, {ALPHA: Entry("1", "120000")}).changed == (ALPHA,)


def test_a_misspelt_name_is_told_when_it_appears_and_not_when_it_goes() -> None:
    typo = ALPHA.replace(".yaml", ".yml")
    assert _touched({}, _tree(typo="1")).misplaced == (typo,)
    assert _touched(_tree(typo="1"), {}).misplaced == ()


def test_a_touched_push_counts_its_requests() -> None:
    assert len(_touched(_tree(alpha="1"), _tree(bravo="1"))) == 2
    assert not _touched(_tree(readme="1"), _tree(readme="2"))


trees = st.dictionaries(
    st.sampled_from([ALPHA, BRAVO, DEFAULT_CATALOG_PATH, "README.md", ALPHA.replace("alpha", "team-alpha")]),
    st.builds(
        Entry, blob=st.sampled_from("abc"), mode=st.sampled_from(["100644", "120000"]), size=st.just(1)
    ),
)


@given(trees)
def test_a_tree_does_not_differ_from_itself(tree: Tree) -> None:
    touched = _touched(tree, tree)
    assert (len(touched), touched.catalog, touched.misplaced) == (0, False, ())


@given(trees, trees)
def test_every_difference_of_a_request_is_told_exactly_once(before: Tree, after: Tree) -> None:
    touched = _touched(before, after)
    differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    stays = {
        home for path in touched.removed for home in request_paths_of(after, PATHS.team_of(path) or "", PATHS)
    }
    told = [*touched.changed, *touched.removed]
    assert set(told) == {path for path in differing if PATHS.folder(path) is not None} | stays
    assert len(told) == len(set(told))
    assert set(touched.changed) <= after.keys()
    assert not set(touched.removed) & after.keys()


def test_a_team_may_stand_in_two_folders() -> None:
    tree = {
        path: Entry("1", "100644")
        for path in (ALPHA, ALPHA.replace("alpha", "team-alpha"), BRAVO, "README.md")
    }
    assert request_paths_of(tree, "alpha", PATHS) == (ALPHA, ALPHA.replace("alpha", "team-alpha"))
    assert request_paths_of(tree, "bravo", PATHS) == (BRAVO,)
    assert request_paths_of(tree, "charlie", PATHS) == ()
    assert requests_of(tree, PATHS) == (BRAVO, ALPHA, ALPHA.replace("alpha", "team-alpha"))
