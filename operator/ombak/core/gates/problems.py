"""What can be wrong with a Window that its CRD cannot tell."""


class UnreadableWindow(ValueError):  # noqa: N818 - reads as the claim it makes
    """A Window that says nothing certain, and therefore is closed; the message names the field and the fix."""
