"""What -machine and -cpu name and the binary does not have: no QEMU."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import ROOMY, machine

from findings import capabilities
from vmserial.guests import profile
from vmserial.judging import judge
from vmserial.model import Cpu
from vmserial.model.recorded import from_json, packed, to_json, unpacked
from vmserial.planning import planner
from vmserial.sources.command import CommandLine


def _found(words: str, arch: str = "aarch64", *, known: bool = True) -> list[tuple[str, str]]:
    has = capabilities(arch)
    if not known:
        has = replace(has, cpus=frozenset(), board_properties={})
    command = CommandLine.parse(f"qemu-system-{arch} -nodefaults -serial null {words}")
    made = judge(command, has, profile.unknown(arch))
    return [(one.id, one.happens) for one in made.findings
            if one.id in {"property-unknown", "cpu-not-in-binary"}]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-M virt,foo=1", "-machine virt: Property 'virt-7.2-machine.foo' not found"),
        ("-M virt -machine gic-versoin=3", "Property 'virt-7.2-machine.gic-versoin' not found"),
        ("-M virt -cpu nope", "-cpu nope: unable to find CPU model 'nope'"),
        ("-M virt -cpu cortex-a5700,pmu=off", "unable to find CPU model 'cortex-a5700'"),
    ],
)
def test_what_the_binary_does_not_have_is_named_in_qemu_s_words(words: str, said: str) -> None:
    ((_, happens),) = _found(words)
    assert said in happens
    assert _found(words, known=False) == []


@pytest.mark.parametrize(
    "words",
    [
        "-M virt,gic-version=3,its=off,highmem=off", "-M virt,gic_version=3", "-M virt,accel=tcg",
        "-M virt,kernel-irqchip=on", "-M virt,pflash0=a,x-oem-id=b", "-M virt,smp.cpus=2",
        "-M virt -cpu host", "-M virt -cpu max,sve=off", "-M virt -cpu cortex-a57",
        "-M virt -cpu cortex-a57-arm-cpu", "-M virt -cpu help",
    ],
)  # fmt: skip
def test_what_it_has_and_what_is_no_property_of_the_board_is_right(words: str) -> None:
    assert _found(words) == []


def test_a_pc_has_its_own_properties_and_models() -> None:
    assert _found("-M pc,hpet=off,vmport=on,pflash0=x -cpu Skylake-Server-v4,+aes", "x86_64") == []
    assert {id for id, _ in _found("-M pc,gic-version=3 -cpu cortex-a57", "x86_64")} == {
        "cpu-not-in-binary", "property-unknown",
    }  # fmt: skip


def test_a_plan_refuses_a_model_that_the_binary_lacks() -> None:
    def refused(model: str) -> set[str]:
        asked = replace(machine("aarch64", 2), cpu=Cpu(model))
        made = planner.plan(asked, capabilities("aarch64"), ROOMY)
        return {one.id for one in made.refusals}

    assert refused("nope") == {"cpu-not-in-binary"}
    assert refused("cortex-a57") == refused("host") == refused("") == set()


def test_it_is_remembered() -> None:
    has = capabilities("x86_64")
    assert "qemu64" in has.cpus
    assert "hpet" in has.board_properties["pc"]
    assert from_json(to_json(has)).cpus == unpacked(packed(has)).cpus == has.cpus
    assert unpacked(packed(has)).board_properties == has.board_properties
