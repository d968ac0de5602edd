"""The processors of a PVE configuration: model, flags and how many, as stock QEMU has them."""

from __future__ import annotations

import re

from vmserial.errors import ConfigError
from vmserial.model import Cpu, Topology
from vmserial.sources.pve.document import Setting
from vmserial.sources.pve.values import Properties, Rejected, number
from vmserial.sources.pve.view import View

MAX_CPUS = 4096
"""No machine type of QEMU has more."""

_WORD = re.compile(r"[A-Za-z0-9._-]+\Z")
_FLAG = re.compile(r"[+-][A-Za-z0-9._-]+\Z")


class Processors:
    """Takes the settings of the processors out of a view."""

    def __init__(self, view: View, *, aarch64: bool) -> None:
        self._view = view
        self._aarch64 = aarch64

    def default(self, kvm: bool | None) -> Cpu:
        """Return PVE's default; on aarch64 the planner chooses by the accelerator, as PVE does."""
        if self._aarch64:
            return Cpu()
        return Cpu("qemu64" if kvm is False else "kvm64")

    def model(self, setting: Setting) -> Cpu:
        """Return the model and the flags that QEMU knows.

        Raises:
            Rejected: PVE would not take it.
        """
        props = Properties(setting.value, "cputype")
        model = props.text("cputype")
        if not _WORD.match(model):
            raise Rejected(f"{model!r} is not a cpu type", hint="write host, max or kvm64")
        flags: list[str] = []
        for flag in filter(None, props.text("flags").split(";")):
            if not _FLAG.match(flag):
                raise Rejected(f"{flag!r} is not +flag or -flag", hint="write flags=+aes;-pcid")
            if flag[1:] == "nested-virt":
                self._view.note(
                    "untranslated",
                    setting.line,
                    "cpu: the flag nested-virt is PVE's own and not translated",
                    "write +vmx (Intel) or +svm (AMD) in args",
                )
            else:
                flags.append(flag)
        if model.startswith("custom-"):
            self._view.note(
                "untranslated",
                setting.line,
                f"cpu: {model} stands in PVE's cpu-models.conf and cannot be resolved here",
                "name a model of QEMU; the default is taken",
            )
            model = self.default(None).model
        self._view.leftovers(setting, props)
        return Cpu(model, tuple(flags))

    def topology(self) -> Topology:
        """Return sockets, cores and vcpus; 0 is PVE's default, too.

        Raises:
            ConfigError: there are more than places for them.
        """
        lines = [s.line for k in ("smp", "sockets", "cores", "vcpus")
                 if (s := self._view.settings.get(k))]  # fmt: skip
        given = {
            key: self._view.accepted(key, lambda s: number(s.value, s.key, 0, MAX_CPUS), 0)
            for key in ("smp", "sockets", "cores", "vcpus")
        }
        sockets = given["sockets"] or given["smp"] or 1
        cores = given["cores"] or 1
        vcpus = given["vcpus"] or sockets * cores
        if sockets * cores > MAX_CPUS or vcpus > sockets * cores:
            limit = f"{sockets} sockets of {cores} cores" if vcpus > sockets * cores else MAX_CPUS
            raise ConfigError(
                f"{max(vcpus, sockets * cores)} CPUs are more than {limit}",
                hint="vcpus is at most sockets times cores",
                where=str(self._view.where(max(lines))),
            )
        return Topology(vcpus, sockets, cores)
