"""All rules by phase.  Made by scripts/make-rule-index; not to be changed by hand."""

from __future__ import annotations

from vmserial.rules.backends import (
    address_in_use,
    chardev_in_use,
    chardev_incomplete,
    chardev_missing,
    chardev_required,
    chardev_waits,
    id_taken,
    output_lost_while_detached,
    port_clash,
    socket_path_too_long,
    stdio_twice,
)
from vmserial.rules.base import Rule
from vmserial.rules.devices import (
    agent_isa_not_on_arch,
    caution,
    kind_not_on_arch,
    onboard_uart_limit,
    port_without_device,
    sclp_limit,
    usb_not_plugged,
)
from vmserial.rules.guest import guest_8250_limit, hvc_limit
from vmserial.rules.host import (
    address_half_taken,
    directory_missing,
    file_missing,
    path_is_directory,
    pipe_missing,
    socket_in_use,
    socket_missing,
    socket_removes_file,
    tty_missing,
    tty_not_a_device,
)
from vmserial.rules.places import (
    bus_missing,
    isa_clash,
    isa_limit,
    not_hot_pluggable,
    pci_function,
    pci_slot_taken,
    spapr_vty_clash,
    usb_no_bus,
    usb_port_taken,
    usb_speed,
    virtio_no_bus,
    virtio_port_range,
    virtio_port_taken,
    virtio_port_zero,
    virtio_queue_overflow,
)

PHASES: tuple[tuple[Rule, ...], ...] = (
    (
        chardev_incomplete.RULE,
        id_taken.RULE,
    ),
    (
        chardev_in_use.RULE,
        chardev_missing.RULE,
        chardev_required.RULE,
    ),
    (
        address_in_use.RULE,
        chardev_waits.RULE,
        port_clash.RULE,
        socket_path_too_long.RULE,
    ),
    (stdio_twice.RULE,),
    (output_lost_while_detached.RULE,),
    (
        address_half_taken.RULE,
        directory_missing.RULE,
        file_missing.RULE,
        path_is_directory.RULE,
        pipe_missing.RULE,
        socket_in_use.RULE,
        socket_missing.RULE,
        socket_removes_file.RULE,
        tty_missing.RULE,
        tty_not_a_device.RULE,
    ),
    (
        agent_isa_not_on_arch.RULE,
        caution.RULE,
        kind_not_on_arch.RULE,
        sclp_limit.RULE,
    ),
    (onboard_uart_limit.RULE,),
    (
        isa_clash.RULE,
        isa_limit.RULE,
    ),
    (port_without_device.RULE,),
    (guest_8250_limit.RULE,),
    (hvc_limit.RULE,),
    (
        usb_not_plugged.RULE,
        bus_missing.RULE,
        pci_function.RULE,
        pci_slot_taken.RULE,
        spapr_vty_clash.RULE,
        usb_no_bus.RULE,
        usb_port_taken.RULE,
        usb_speed.RULE,
        virtio_no_bus.RULE,
        virtio_port_range.RULE,
        virtio_port_taken.RULE,
        virtio_port_zero.RULE,
        virtio_queue_overflow.RULE,
    ),
    (not_hot_pluggable.RULE,),
)
