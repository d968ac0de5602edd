"""A lowered command is judged as the command that it is, and says where each thing comes from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import findings
from vmserial.context.origins import Origins
from vmserial.guests import profile
from vmserial.judging import Judgement, RepairPolicy, judge
from vmserial.model import SourceRef
from vmserial.model.origin import Gap, LoweredCommand, LoweredOption, Origin, Owner
from vmserial.options import Option
from vmserial.sources.command import CommandLine, CommandOption, CommandView, edited
from vmserial.sources.command.edits import InsertAfter, InsertBefore


def lowered(
    command: CommandLine, by: Sequence[Owner] = (), gaps: tuple[Gap, ...] = (),
    owner: Owner = "pve", **labels: str,
) -> LoweredCommand:  # fmt: skip
    """Return a command as if it were lowered: option N stands in line N of a file."""
    view = CommandView.of(command)
    users: list[Owner] = ["user"] * len(command.options)
    owners = [*by, *users]
    options = [
        LoweredOption(
            Option(option.flag, raw=option.value),
            Origin(SourceRef("100.conf", line), owners[line - 1], line),
        )
        for line, option in enumerate(command.options, 1)
    ]
    return LoweredCommand(command.program, view.arch, tuple(options), owner, gaps=gaps,
                          labels=labels)  # fmt: skip


def judged(command: LoweredCommand, policy: RepairPolicy | None = None) -> Judgement:
    return judge(
        command, findings.capabilities(command.arch), profile.unknown(command.arch), policy
    )


@pytest.mark.parametrize("id", findings.ids())
def test_the_findings_are_those_of_the_command(id: str) -> None:
    command = CommandLine.from_words(findings.command(id).argv())
    policy = findings.POLICIES.get(id)
    # PVE and libvirt add controllers and devices and name a machine type by themselves.
    theirs = {"controller-unused", "machine-not-in-binary", "machine-unknown", "pci-no-bus",
              "set-without-target"}  # fmt: skip
    owner: Owner = "user" if id in theirs else "pve"
    verdict = judged(lowered(command, owner=owner), policy)
    own = findings.judged(id, command)
    assert [(f.id, f.happens) for f in verdict.found] == [(f.id, f.happens) for f in own.found]
    answered = id in {answer.finding.id for answer in verdict.answers}
    assert answered is (id not in findings.UNMENDED)


@pytest.mark.parametrize("id", findings.ids())
def test_the_answers_make_the_repaired_command(id: str) -> None:
    """Edits of the answers, each on an option that has its origin, and nothing else."""
    verdict = judged(lowered(findings.command(id)), findings.POLICIES.get(id))
    assert verdict.origins is not None
    edits = [*verdict.support, *(edit for answer in verdict.answers for edit in answer.edits)]
    line = verdict.origins.line
    assert edited(line, edits).argv() == verdict.command.argv()
    for edit in edits:
        if edit.option is not None:
            origin = verdict.origin(edit.option)
            assert origin is not None
            assert origin.option.value() == edit.option.value
            assert origin.origin.handle == line.options.index(edit.option) + 1
        else:
            assert isinstance(edit, InsertAfter)


@pytest.mark.parametrize("id", findings.ids())
def test_each_finding_stands_where_its_option_does(id: str) -> None:
    verdict = judged(lowered(findings.command(id)), findings.POLICIES.get(id))
    for finding in verdict.found:
        for option in finding.options:
            assert isinstance(option, CommandOption)
            origin = verdict.origin(option)
            assert origin is not None
            assert finding.where == origin.origin.where == SourceRef("100.conf", option.where.line)


ARM = (
    "qemu-system-aarch64 -machine virt -nodefaults -chardev pty,id=serial1 "
    "-device isa-serial,chardev=serial1 -chardev pty,id=serial2 -device isa-serial,chardev=serial2"
)


def test_what_the_owner_wrote_has_the_owners_id() -> None:
    by: list[Owner] = ["pve"] * 4
    verdict = judged(lowered(CommandLine.parse(ARM), by))
    assert [(f.id, f.ports) for f in verdict.found if "arch" in f.id or "aarch64" in f.id] == [
        ("pve-isa-on-aarch64", ("serial1",)), ("kind-not-on-arch", ("serial2",)),
    ]  # fmt: skip
    assert "pve-isa-on-aarch64" in {change.id for change in verdict.changes}


def test_a_port_is_called_as_in_its_source() -> None:
    text = ARM.replace("id=serial1", "id=com").replace("chardev=serial1", "chardev=com")
    named = judged(lowered(CommandLine.parse(text), com="serial7"))
    assert ("serial7",) in {f.ports for f in named.found}
    assert ("serial7",) not in {f.ports for f in judged(lowered(CommandLine.parse(text))).found}


def test_what_is_not_known_is_not_judged() -> None:
    command = findings.command("bus-missing")
    gap = Gap("readconfig", "a file was not read")
    assert "bus-missing" in {f.id for f in judged(lowered(command)).found}
    assert "bus-missing" not in {f.id for f in judged(lowered(command, gaps=(gap,))).found}


def test_automatic_addresses_are_not_guessed_where_they_are_a_gap() -> None:
    text = (
        "qemu-system-x86_64 -machine q35 -nodefaults -device virtio-net-pci "
        "-chardev pty,id=serial0 -device pci-serial,chardev=serial0,addr=1"
    )
    command = CommandLine.parse(text)
    gap = Gap("addresses", "libvirt gives them at the start")
    assert "pci-slot-taken" in {f.id for f in judged(lowered(command)).found}
    assert "pci-slot-taken" not in {f.id for f in judged(lowered(command, gaps=(gap,))).found}


def test_new_options_have_no_origin() -> None:
    verdict = judged(lowered(CommandLine.parse(ARM)))
    new = [each for each in verdict.support if isinstance(each, InsertAfter | InsertBefore)]
    assert new
    assert verdict.command.named("device") != ()
    added = set(map(str, verdict.command.options)) - set(map(str, verdict.origins.line.options)) \
        if verdict.origins else set()  # fmt: skip
    assert added


def test_a_command_line_is_its_own_source() -> None:
    verdict = findings.judged("usb-speed")
    assert verdict.origins is None
    assert verdict.origin(verdict.command.options[0]) is None
    assert verdict.answers


@pytest.mark.parametrize("id", findings.ids())
def test_a_lowered_command_is_read_as_its_words_are(id: str) -> None:
    """The short way to its options gives what reading its words gives."""
    command = lowered(findings.command(id))
    line = Origins.of_command(command).line
    words = CommandLine.from_words(command.argv())
    assert [w.value for w in line.words] == [w.value for w in words.words]
    assert [(o.name, o.value, o.first, o.last) for o in line.options] == [
        (o.name, o.value, o.first, o.last) for o in words.options
    ]
