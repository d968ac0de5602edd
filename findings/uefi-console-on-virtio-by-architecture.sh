#!/bin/bash
# EDK II 2025.02-8+deb13u1 (qemu-efi-aarch64 and qemu-efi-riscv64 of Debian 13) on QEMU
# 1:10.0.13+ds-0+deb13u1, seen 2026-11-28.
#
# Both are built from one source package, and each has its console on the board's UART.  The one for
# aarch64 has it on a virtconsole at nr=0 of a virtio-serial-pci, too, from its first line on; the
# one for riscv64 writes not a byte there.  Expected was that they do alike.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
debian_suite trixie || exit 2
qemu=1:10.0.13+ds-0+deb13u1 uefi=2025.02-8+deb13u1
root=$(debian_root qemu-system-arm=$qemu qemu-system-riscv=$qemu qemu-efi-aarch64=$uefi \
    qemu-efi-riscv64=$uefi) || exit 2
chroot "$root" qemu-system-riscv64 --version | head -n 1

# Starts UEFI until its UART was silent for 15 s; prints how much text the virtconsole got (the
# bytes that are no escape sequence and no blank).
text_on_virtconsole() {
    local name=$1 before=-1 size=0 pid
    shift
    : >"$root/tmp/$name-uart" >"$root/tmp/$name-virtio"
    timeout 400 chroot "$root" "$@" -nodefaults -display none -m 512 \
        -serial "file:/tmp/$name-uart" -device virtio-serial-pci \
        -chardev "file,id=v,path=/tmp/$name-virtio" -device virtconsole,chardev=v,nr=0 &
    pid=$!
    until ((size > 1000 && size == before)); do
        before=$size
        sleep 15
        kill -0 $pid || break
        size=$(stat -c %s "$root/tmp/$name-uart")
    done
    kill $pid 2>"$work/kill.log" && wait $pid 2>"$work/kill.log" || true
    sed 's/\x1b\[[0-9;=?]*[A-Za-z]//g' "$root/tmp/$name-virtio" | tr -d '[:space:][:cntrl:]' | wc -c
}

arm=$(text_on_virtconsole arm qemu-system-aarch64 -M virt -cpu cortex-a57 \
    -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd)
riscv=$(text_on_virtconsole riscv qemu-system-riscv64 -M virt \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd)
echo "text on the UART: aarch64 $(wc -c <"$root/tmp/arm-uart"), riscv64 $(wc -c <"$root/tmp/riscv-uart") bytes"
echo "text on the virtconsole: aarch64 $arm, riscv64 $riscv characters"
[[ -s $root/tmp/riscv-uart && $arm -gt 100 && $riscv -eq 0 ]]
