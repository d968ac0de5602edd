"""The filter of report.html: it shows what was chosen, and needs no script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from report_pages import CHECKS, MADE, REPORT, parsed, report, vm

from vmserial.report.html import page
from vmserial.report.views import Book
from vmserial.verify.results import (
    Check,
    Verdict,
)


def shown(text: str, chosen: Sequence[str], failed: bool) -> set[str]:
    """Return the ids of what the style sheet leaves visible, by its own rules."""
    reader = parsed(text)
    sheet = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert sheet is not None
    rules = re.findall(
        r"^body((?::has\([^{]*?:checked\))+) \.x:not\(\.([a-z0-9]+)\) \{ display: none; \}$",
        sheet[1], re.MULTILINE,
    )  # fmt: skip
    assert rules
    on = {f":has(option[value={value}]:checked)" for value in chosen}
    on |= {":has(#only-failed:checked)"} if failed else set()
    needed = [cls for cond, cls in rules if set(re.findall(r":has\(.*?\)", cond)) <= on]
    return {
        str(a["id"])
        for _, a in reader.tags
        if a.get("id")
        and ("x" not in str(a.get("class")).split() or set(needed) <= set(str(a["class"]).split()))
    }


def test_the_filter_shows_what_was_chosen_and_hides_the_rest() -> None:
    bad = replace(CHECKS[5], verdict=Verdict.FAIL, detail="why")
    assert (bad.port, bad.kind) == ("serial2", "usb")
    lost = replace(CHECKS[0], verdict=Verdict.LOST, vm="another VM", detail="gone")
    made = report([*CHECKS, bad, lost], vm(MADE))
    text = page(made)
    number = {name: f"p{n}" for name, n in Book(made).names.ports.items()}
    kind = {name: f"k{n}" for name, n in Book(made).names.kinds.items()}
    rows = {f"c{n}": c for n, c in enumerate(made.checks, 1)}

    def visible(*chosen: str, failed: bool = False) -> list[Check]:
        return [rows[name] for name in sorted(shown(text, chosen, failed) & rows.keys(),
                                              key=lambda name: int(name[1:]))]  # fmt: skip

    assert visible() == list(rows.values())
    assert visible(failed=True) == [bad, lost]
    assert {c.port for c in visible(number["serial2"])} == {"serial2"}
    assert len(visible(number["serial2"])) == 5
    assert {c.kind for c in visible(kind["uart"])} == {"uart"}
    assert visible(number["serial2"], failed=True) == [bad]
    assert visible(kind["uart"], failed=True) == [lost]
    assert visible(number["serial2"], kind["uart"]) == []
    # A VM without any of what was chosen goes as a whole.
    assert {"vm1", "vm2"} <= shown(text, [], True)
    assert "vm2" not in shown(text, [number["serial2"]], True)
    for name, value in {**number, **kind}.items():
        assert f'<option value="{value}">{name}</option>' in text


def test_the_filter_needs_neither_a_script_nor_another_host() -> None:
    """And no inline style but the one whose digest the policy names."""
    text = page(REPORT)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    (sheet,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
