# Sourced by the scripts beside it: puts pinned Debian packages into a folder, away from the system.
#
#   . "$(dirname "$0")/debian.bash"
#   root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 …)    # a folder with them and what they need
#   chroot "$root" qemu-system-x86_64 …
#
# Packages come by name from wherever this machine's own apt gets its own; needs root for chroot.
# The folder is below $work, which is removed at the end.  debian_suite first: of another release.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

suite=()

# Has debian_root take its packages from a suite of Debian, from the mirror of this machine's own apt.
debian_suite() {
    local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    echo "deb [signed-by=$keys] $mirror $1 main" >"$work/suite.list"
    mkdir -p "$work/suite/partial"
    suite=(-o Dir::Etc::SourceList="$work/suite.list" -o Dir::Etc::SourceParts=-
        -o Dir::State::Lists="$work/suite" -o Dir::Cache="$work/suite-cache" -o Debug::NoLocking=1
        -o APT::Sandbox::User=root)
    apt-get -qq "${suite[@]}" update >"$work/apt.log" 2>&1 ||
        { cat "$work/apt.log" >&2; echo "cannot fetch the package lists of $1" >&2; return 2; }
}

debian_root() {
    local root=$work/root cache=$work/cache deb
    mkdir -p "$root/tmp" "$root/dev" "$root/proc" "$cache/archives/partial"
    # An empty status file: apt takes nothing for installed and fetches the whole closure.
    apt-get -qq -y --no-install-recommends "${suite[@]}" -o Dir::State::Status=/dev/null -o Dir::Cache="$cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User=root --download-only install "$@" >"$work/apt.log" 2>&1 ||
        { cat "$work/apt.log" >&2; echo "cannot fetch $* (another release of Debian?)" >&2; return 2; }
    # Debian 13's packages have all of it in /usr, and count on these.
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root"
    for deb in "$cache"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" -x --keep-directory-symlink
    done
    ldconfig -r "$root"
    echo "$root"
}

# Fetches a kernel package of an architecture (NAME ARCHITECTURE VERSION) and prints its kernel's
# path below $root, into whose /tmp it is put.
debian_kernel() {
    # apt is asked about another architecture beside this machine's own, with lists of its own.
    local apt=(-o APT::Architectures="$(dpkg --print-architecture),$2" -o Dir::State::Lists="$work/lists"
        -o Dir::Cache="$work/kernel" -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
    mkdir -p "$work/lists/partial" "$work/kernel/archives/partial"
    (cd "$work" && apt-get -qq "${apt[@]}" update && apt-get -qq "${apt[@]}" download "$1:$2=$3") \
        >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; echo "cannot fetch the kernel" >&2; return 2; }
    dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar -C "$root/tmp" -x ./boot
    (cd "$root" && ls tmp/boot/vmlinu*)
}

# Makes $root with Debian 12's libvirt and a QEMU package (NAME=VERSION), ready for virsh with an
# embedded driver; prints virsh's version.
debian_libvirt() {
    local libvirt=9.0.0-4+deb12u2
    root=$(debian_root libvirt-daemon=$libvirt libvirt-daemon-driver-qemu=$libvirt \
        libvirt-clients=$libvirt "$1") || return 2
    chroot "$root" virsh --version
    mkdir -p "$root/run" "$root/var/lib" "$root/tmp/libvirt"
    # What the packages' own scripts would make: libvirt looks them up at its start.
    printf '%s\n' 'root:x:0:0::/root:/bin/sh' \
        'libvirt-qemu:x:64055:64055::/nonexistent:/bin/false' >"$root/etc/passwd"
    printf '%s\n' 'root:x:0:' 'kvm:x:104:' 'libvirt-qemu:x:64055:' >"$root/etc/group"
    mount --bind /dev "$root/dev" && mount --bind /proc "$root/proc" || return 2
    trap 'umount "$root/dev" "$root/proc"; rm -rf "$work"' EXIT
}

# Prints the QEMU command that libvirt makes of $root/tmp/domain.xml, or its words.
libvirt_command() {
    timeout 60 chroot "$root" virsh -c 'qemu:///embed?root=/tmp/libvirt' domxml-to-native \
        qemu-argv /tmp/domain.xml 2>&1
}
