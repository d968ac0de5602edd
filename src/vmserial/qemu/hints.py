"""What to do about QEMU's own words, in one line: the catalogue's first resolution."""

from __future__ import annotations


def hint_for(stderr: str) -> str:
    """Return what to do about QEMU's own words; a general hint where they are unknown."""
    # Large, and only the way to an error needs it.
    from vmserial import catalogue

    found = catalogue.matches(stderr)
    if not found:
        return "QEMU's own words are above; `vmserial showcmd --pretty` shows the whole command"
    # What ended it is worse than what it warned of before.
    severities = list(catalogue.Effect)
    doc = min((match.doc for match in found), key=lambda doc: severities.index(doc.effect))
    return f"{doc.resolution[0]} (more: `vmserial explain {doc.id}`)"
