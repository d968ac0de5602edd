#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), seen 2026-11-28.
#
# A TCP server chardev without a host listens on all addresses, IPv4 and IPv6.  If another program
# has the port on 127.0.0.1 only, QEMU starts all the same, without a word: it listens on [::] alone,
# and who connects to 127.0.0.1 talks to the other program.  Expected was "Address already in use",
# which QEMU does say when both families are taken.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3) || exit 2
grep -q . /proc/net/if_inet6 2>/dev/null || { echo "this machine has no IPv6" >&2; exit 2; }
chroot "$root" qemu-system-x86_64 --version | head -n 1

# The other program: Python's own server on a free port of 127.0.0.1.
python3 - >"$work/port" <<'PY' &
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
time.sleep(30)
PY
for _ in $(seq 50); do [[ -s $work/port ]] && break; sleep 0.1; done
port=$(<"$work/port")
timeout 20 chroot "$root" qemu-system-x86_64 -M q35 -nodefaults -display none -S \
    -serial "tcp::$port,server=on,wait=off" >"$work/said" 2>&1 &
hex=$(printf '%04X' "$port")
for _ in $(seq 100); do
    grep -qi ": [0-9A-F]*:$hex [0-9A-F]*:0000 0A" /proc/net/tcp6 && break
    sleep 0.1
done
listens() { grep -ci ": [0-9A-F]*:$hex [0-9A-F]*:0000 0A" "$1" || true; }
four=$(listens /proc/net/tcp) six=$(listens /proc/net/tcp6) alive=$(jobs -r | grep -c qemu || true)
kill %1 %2 2>/dev/null || true
wait
grep -v 'terminating on signal' "$work/said" || true
echo "QEMU running: $alive; listeners of port $port: IPv4 $four (the other program's), IPv6 $six"
[[ $alive == 1 && $four == 1 && $six == 1 ]]
