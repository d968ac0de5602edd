"""QEMU itself: what a binary has, whether KVM works, QMP, and a supervised process."""
