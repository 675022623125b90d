"""Which Pipelines a change concerns is found without looking at all of them."""

from ombak.runtime.hub.index import PipelineIndex


def index(**bases: str) -> PipelineIndex:
    """Pipelines of the namespace shop, with what each extends."""
    made = PipelineIndex()
    for name, base in bases.items():
        made.put(("shop", name), base)
    return made


def test_heirs_are_all_that_extend_over_any_depth() -> None:
    """Of the same namespace only, and whether the base is there or not."""
    made = index(child="parent", grandchild="child", other="")
    made.put(("search", "child"), "parent")

    assert made.heirs(("shop", "parent")) == [("shop", "child"), ("shop", "grandchild")]
    assert made.heirs(("shop", "other")) == []


def test_a_circle_ends() -> None:
    """Nobody is an heir of itself."""
    assert index(a="b", b="a").heirs(("shop", "a")) == [("shop", "b")]


def test_what_extends_another_one_now_is_no_heir_of_the_first() -> None:
    """Nor is one that is gone."""
    made = index(one="parent", two="parent")
    made.put(("shop", "one"), "uncle")
    made.put(("shop", "two"), None)

    assert made.heirs(("shop", "parent")) == []
    assert made.heirs(("shop", "uncle")) == [("shop", "one")]


def test_a_name_is_found_in_every_namespace() -> None:
    """A region's Rollout may be in another namespace than the Pipeline."""
    made = index(app="")
    made.put(("search", "app"), "")
    made.put(("search", "other"), "")

    assert made.named("app") == [("search", "app"), ("shop", "app")]
    made.put(("search", "app"), None)
    assert made.named("app") == [("shop", "app")]
    assert made.named("nobody") == []
