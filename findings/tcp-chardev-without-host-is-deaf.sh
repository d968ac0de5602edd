#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), seen 2026-11-28.
#
# `-chardev socket,port=N,server=on,wait=off` without `host=` is accepted, QEMU starts, and nothing
# listens on port N; the monitor shows the chardev as "disconnected:fd:".  The short form of the same
# wish, `-serial tcp::N,server=on,wait=off`, listens on all addresses.  Expected was that a missing
# host means "all addresses" in both, or that QEMU refuses the long form.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-x86_64 --version | head -n 1

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
listening() { grep -hqi ": [0-9A-F]*:$(printf '%04X' "$1") [0-9A-F]*:0000 0A" /proc/net/tcp /proc/net/tcp6; }

long=$(free_port) short=$(free_port)
mkfifo "$work/hmp"
timeout 30 chroot "$root" qemu-system-x86_64 -M q35 -nodefaults -display none -S -monitor stdio \
    -chardev "socket,id=long,port=$long,server=on,wait=off" -device isa-serial,chardev=long,index=1 \
    -serial "tcp::$short,server=on,wait=off" <"$work/hmp" >"$work/said" 2>&1 &
exec 9>"$work/hmp"
for _ in $(seq 100); do
    listening "$short" && break
    sleep 0.1
done
echo "info chardev" >&9
sleep 1
answer="" other=""
listening "$short" && other=yes
listening "$long" && answer=yes
echo quit >&9
exec 9>&-
wait
grep -ao 'long: filename=[^[:space:]]*' "$work/said" || true
echo "the short form listens: ${other:-no}; -chardev socket,port= without host= listens: ${answer:-no}"
[[ $other == yes && -z $answer ]]
