"""USB, virtio-serial, PCI and ISA places."""
