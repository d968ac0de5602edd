# The far end: what a guest's shell runs while its ports are tested.
# POSIX sh with busybox or coreutils; read into the control shell, where vs_say
# already is. Names begin with vs_. Each process costs 2 to 5 ms on an emulated
# processor and each builtin 0.1 ms, so sysfs is read with builtins alone.
#
# Events (vs_say), one line each:
#   n NAME UPTIME TYPE PORT IOMEM BAR SYSFS-PATH [SERIAL]    a tty is there
#   c NAME VTERMNO             this virtio port is a console
#   v NAME UPTIME [PORT-NAME]  a virtio port is there
#   h NAME HVC                 this console is that hvc
#   g NAME UPTIME              it is gone
#   z SEQ                      a scan that was asked for is done
#   p ID PID, o ID ok|WHY      an agent was started; it has its port open, or not
#   s ID SEQ STATUS FROM TO    a file was sent, between these times
#   r ID SEQ COUNT SHA256 AT   this many bytes came
#   k ID SEQ                   what was under way was stopped
#   q ID                       an agent ended

vs_up() { read -r vs_t vs_x </proc/uptime; }

# d-i's busybox has no mkfifo.
command -v mkfifo >/dev/null || mkfifo() { for vs_x in "$@"; do mknod "$vs_x" p || return; done; }

# vs_start COUNT: prepare for so many agents; more may come.
vs_start() {
	for vs_d in /tmp /dev/shm /run; do
		vs_d=$vs_d/vmserial.$$
		mkdir "$vs_d" 2>/dev/null && break
	done
	# With the orders of the first agents: one process for 64 of them.
	cd "$vs_d" || return 1
	vs_k="nap watch" vs_n=0
	while [ $vs_n -lt $1 ]; do
		vs_n=$((vs_n + 1)) vs_k="$vs_k $vs_n.orders"
		[ $((vs_n % 64)) != 0 ] || {
			mkfifo $vs_k || return 1
			vs_k=
		}
	done
	[ -z "$vs_k" ] || mkfifo $vs_k || return 1
	cd /
	# A pipe that nobody writes to: waiting on it is a sleep without a process.
	# What is in a pipe is lost when nobody has it open, so the orders' pipe stays open too.
	exec 8<>"$vs_d/nap" 9<>"$vs_d/watch"
	( read -r -t 0.01 vs_x <&8 ) 2>/dev/null
	if [ $? != 2 ]; then
		vs_nap() { read -r -t 0.01 vs_x <&8; }
	elif sleep 0.01 2>/dev/null; then
		vs_nap() { sleep 0.01; }
	else
		vs_nap() { sleep 1; }
	fi
	vs_debug=/sys/kernel/debug
	if [ -d /sys/class/virtio-ports ] && ! [ -d $vs_debug/virtio-ports ]; then
		vs_debug=$vs_d/debug
		mkdir "$vs_debug" && mount -t debugfs debugfs "$vs_debug" 2>/dev/null
	fi
	vs_watch </dev/null 2>/dev/null &
	vs_watcher=$!
	# Also when the shell ends because its stream did.
	trap vs_end EXIT
	echo "$vs_d"
}

# ---------------------------------------------------------------- nodes

# vs_tty NAME: tell what is behind a tty; false if nothing is.
vs_tty() {
	vs_a=/sys/class/tty/$1 vs_type=- vs_port=- vs_mem=- vs_bar=- vs_name=
	[ -r "$vs_a/type" ] && read -r vs_type <"$vs_a/type"
	[ "$vs_type" != 0 ] || return 1
	[ -e "$vs_a/device" ] && cd -P "$vs_a/device" || return 1
	[ -r "$vs_a/port" ] && read -r vs_port <"$vs_a/port"
	[ -r "$vs_a/iomem_base" ] && read -r vs_mem <"$vs_a/iomem_base"
	# Linux 6.5 put two serial-base devices between a UART and its device.
	for vs_r in resource ../../resource; do
		[ -r $vs_r ] && read -r vs_bar vs_x <$vs_r && break
	done
	case $1 in ttyUSB*) [ -r ../../serial ] && read -r vs_name <../../serial ;; esac
	vs_up
	vs_say n "$1" "$vs_t" "$vs_type" "$vs_port" "$vs_mem" "$vs_bar" "$PWD" "$vs_name"
}

# vs_fixed: ttys of which sysfs does not say what is behind them, but which it is. The console
# driver takes pseries' vtys in the order of their registers, one hvc after the other, before
# any virtio driver is there; the two of s390x are the kernel's by name.
vs_fixed() {
	vs_k=0
	for vs_q in /sys/bus/vio/drivers/hvc_console/[0-9a-f]*; do
		[ -e "$vs_q/name" ] && [ $vs_k -lt 8 ] || break
		vs_there hvc$vs_k "/devices/vio/${vs_q##*/}"
		vs_k=$((vs_k + 1))
	done
	for vs_q in ttysclp0 sclp_line0; do
		[ -e "/sys/class/tty/$vs_q" ] && vs_there $vs_q "/devices/sclp/$vs_q"
	done
}

# vs_there NAME SYSFS-PATH
vs_there() {
	vs_now="$vs_now$1 "
	case $vs_old in
	*" $1 "*) ;;
	*) vs_up && vs_say n "$1" "$vs_t" - - - - "$2" ;;
	esac
}

# vs_scan: tell what came and what went since the scan before (vs_old).
vs_scan() {
	vs_now=' '
	for vs_n in /sys/class/tty/tty[AUS]*; do
		vs_n=${vs_n##*/}
		case $vs_n in
		ttyS[0-9]*)
			# These nodes are always there, with a UART behind them or not.
			read -r vs_type <"/sys/class/tty/$vs_n/type"
			[ "$vs_type" != 0 ] || continue
			;;
		ttyAMA* | ttyUSB*) ;;
		*) continue ;;
		esac
		case $vs_old in
		*" $vs_n "*) vs_now="$vs_now$vs_n " ;;
		*) vs_tty "$vs_n" && vs_now="$vs_now$vs_n " ;;
		esac
	done
	vs_fixed
	# What is gone first: a name may already be somebody else's.
	for vs_n in $vs_old; do
		case $vs_now in *" $vs_n "*) ;; *) vs_up && vs_say g "$vs_n" "$vs_t" ;; esac
	done
	vs_old=$vs_now
	set -- /sys/class/virtio-ports/vport*
	[ -e "$1" ] || set --
	[ -z "$vs_nameless" ] && [ "$*" = "$vs_listed" ] || vs_vports "$@"
}

# vs_vports DIRECTORY…: the same for virtio ports. There may be a thousand, so none is looked
# for in a list of them, and no list is made one by one, which takes the square of their number:
# each that is known has a variable, with the number of the last look.
vs_vports() {
	vs_q=$vs_listed vs_listed=$* vs_nameless= vs_ports= vs_new=0
	vs_round=$((vs_round + 1))
	if [ -n "$vs_q" ]; then
		for vs_n in "$@"; do
			vs_n=${vs_n##*/}
			eval "[ -z \"\$vs_seen_$vs_n\" ] || vs_seen_$vs_n=$vs_round"
		done
		# What is gone first: an hvc may already be somebody else's.
		for vs_n in $vs_q; do
			vs_n=${vs_n##*/}
			eval "vs_k=\$vs_seen_$vs_n"
			case $vs_k in '' | $vs_round) continue ;; esac
			unset "vs_seen_$vs_n"
			vs_up
			vs_say g "$vs_n" "$vs_t"
		done
	fi
	for vs_n in "$@"; do
		vs_n=${vs_n##*/}
		eval "vs_k=\$vs_seen_$vs_n"
		[ -z "$vs_k" ] || continue
		# A port without a name has not been introduced yet.
		[ -r "/sys/class/virtio-ports/$vs_n/name" ] || {
			vs_nameless=1
			continue
		}
		eval "vs_seen_$vs_n=$vs_round"
		vs_ports="$vs_ports $vs_n"
		vs_new=$((vs_new + 1))
		# So many at a time, so that something is heard of a guest that has hundreds.
		[ $vs_new -lt 64 ] || vs_introduce
	done
	[ -z "$vs_ports" ] || vs_introduce
}

# vs_introduce: tell of the virtio ports that are new (vs_ports).
vs_introduce() {
	vs_files=
	for vs_n in $vs_ports; do
		vs_files="$vs_files $vs_debug/virtio-ports/$vs_n"
	done
	# One process for all of them; read by a builtin, each would take 8 ms.
	for vs_n in $(grep -s "console_vtermno: [1-9]" $vs_files /dev/null); do
		case $vs_n in
		*:console_vtermno:) vs_n=${vs_n%:console_vtermno:} && vs_k=${vs_n##*/} ;;
		*) vs_say c "$vs_k" "$vs_n" ;;
		esac
	done
	vs_up
	for vs_n in $vs_ports; do
		vs_name=
		read -r vs_name <"/sys/class/virtio-ports/$vs_n/name"
		vs_say v "$vs_n" "$vs_t" "$vs_name"
	done
	vs_ports= vs_new=0
}

# vs_watch: scan when asked to, and then, for as many ticks as asked for, whenever the
# kernel sent a uevent. Any change of devices sends one and raises this number; some
# files change a moment later, so it looks again.
vs_watch() {
	vs_old=' ' vs_seen= vs_again=0 vs_round=0 vs_listed= vs_nameless=
	while read -r vs_seq vs_ticks <&9; do
		vs_scan
		vs_say z "$vs_seq"
		while [ "$vs_ticks" -gt 0 ]; do
			vs_ticks=$((vs_ticks - 1))
			vs_nap
			read -r vs_u </sys/kernel/uevent_seqnum
			[ "$vs_u" = "$vs_seen" ] || vs_seen=$vs_u vs_again=4
			[ $vs_again -gt 0 ] || continue
			vs_again=$((vs_again - 1))
			vs_scan
		done
	done
}

# vs_look SEQ TICKS: have it scan now and go on watching for so many ticks.
vs_look() { echo "$1 $2" >&9; }

# vs_probe NAME…: find out which hvc these consoles are. One NUL is written to each hvc;
# it is the console whose count of sent bytes rises.
vs_probe() {
	vs_files=
	for vs_n in "$@"; do
		vs_files="$vs_files $vs_debug/virtio-ports/$vs_n"
	done
	for vs_n in 0 1 2 3 4 5 6 7; do
		vs_p=$(grep -s bytes_sent: $vs_files /dev/null)
		{ printf '\000' >/dev/hvc$vs_n; } 2>/dev/null || continue
		for vs_k in $(grep -s bytes_sent: $vs_files /dev/null); do
			case $vs_k in
			*:bytes_sent:) vs_q=$vs_k ;;
			*)
				case "$vs_p$vs_line" in
				*"$vs_q $vs_k$vs_line"*) ;;
				*) vs_q=${vs_q%:bytes_sent:} && vs_say h "${vs_q##*/}" $vs_n ;;
				esac
				;;
			esac
		done
	done
}
vs_line='
'

# ---------------------------------------------------------------- ports

# vs_open ID NODE: start an agent that holds NODE open, receives from it into a file and
# takes orders from a FIFO. It is open once for both directions: a virtio port allows
# one opener, and an hvc or ttyS forgets its settings at the last close.
vs_open() {
	vs_id=$1 vs_f=$vs_d/$1
	[ -p "$vs_f.orders" ] || mkfifo "$vs_f.orders"
	{
		# Opening both ways would make a file of a name that is not there.
		[ -c "$2" ] && { vs_agent "$2"; } 3<>"$2" 4<>"$vs_f.orders" 5>"$vs_f.in" || {
			vs_x=
			read -r vs_x <"$vs_f.err"
			vs_say o "$vs_id" "${vs_x:-no such device}"
		}
	} </dev/null 2>"$vs_f.err" &
	vs_say p "$1" $!
}

# Received by dd, which is a mere fork of busybox; its cat is started anew from its file.
# At most 64 MiB (of 512 bytes each, or 128 MiB) are kept of what a port receives: one that
# never becomes silent must not fill the memory that all of them need.
vs_agent() {
	ulimit -f 131072
	if [ -t 3 ]; then
		stty raw -echo clocal -crtscts 115200 <&3 || stty raw -echo <&3
		dd bs=4096 <&3 >&5 2>/dev/null &
	else
		vs_receive &
	fi
	vs_rx=$!
	vs_say o "$vs_id" ok
	while read -r vs_op vs_seq vs_p <&4; do
		case $vs_op in
		send | part)
			vs_send $vs_op "$vs_seq" "$vs_p" &
			eval "vs_job_$vs_seq=$!"
			;;
		await)
			vs_await "$vs_seq" $vs_p &
			eval "vs_job_$vs_seq=$!"
			;;
		count)
			read -r vs_k vs_p </proc/self/fdinfo/5
			vs_up
			vs_say r "$vs_id" "$vs_seq" "$vs_p" - "$vs_t"
			;;
		stop)
			vs_kill $vs_p
			vs_say k "$vs_id" "$vs_seq"
			;;
		close)
			vs_kill $vs_p
			kill $vs_rx
			wait $vs_rx
			wait
			# Told only when nobody has the node open any more.
			exec 3>&-
			: >"$vs_f.in"
			vs_say q "$vs_id"
			exit 0
			;;
		esac
	done
}

# vs_kill SEQ…: end these jobs. They are told by name: the number of a process that has
# ended may be somebody else's by now.
vs_kill() {
	for vs_n in "$@"; do
		eval "kill \$vs_job_$vs_n"
	done
}

# A virtio port reads as ended while nobody is connected on the host: try again, at first
# soon, then every 0.3 s.
vs_receive() {
	vs_q=0 vs_n=1 vs_c='' vs_stop=''
	trap 'vs_stop=1; [ -z "$vs_c" ] || kill -9 $vs_c' TERM
	while [ -z "$vs_stop" ]; do
		dd bs=4096 <&3 >&5 2>/dev/null &
		vs_wait $! || exit
		read -r vs_k vs_p </proc/self/fdinfo/5
		[ "$vs_p" = "$vs_q" ] || vs_n=1
		vs_q=$vs_p vs_k=$vs_n
		while [ $vs_k -gt 0 ] && [ -z "$vs_stop" ]; do
			vs_k=$((vs_k - 1))
			vs_nap
		done
		[ $vs_n -ge 32 ] || vs_n=$((vs_n * 2))
	done
}

# vs_wait PID: wait for a child that a TERM to this shell is to end too, also if the TERM
# comes between the child's start and this. A TERM to the child could be lost: until it
# has become cat, it has this shell's trap.
vs_wait() {
	vs_c=$1
	[ -z "$vs_stop" ] || kill -9 $vs_c
	wait $vs_c
	vs_x=$?
	# The signal ended the waiting, not yet the child.
	[ -z "$vs_stop" ] || wait $vs_c
	vs_c=''
	return $vs_x
}

# vs_send send SEQ FILE, or vs_send part SEQ 'SIZE NUMBER FILE'
vs_send() {
	vs_c='' vs_stop=''
	trap 'vs_stop=1; [ -z "$vs_c" ] || kill -9 $vs_c' TERM
	vs_up
	vs_from=$vs_t
	case $1 in
	send) cat "$3" >&3 & ;;
	part)
		vs_n=${3#* }
		dd if="${vs_n#* }" bs="${3%% *}" skip="${vs_n%% *}" count=1 >&3 2>/dev/null &
		;;
	esac
	vs_wait $!
	vs_k=$?
	vs_up
	vs_say s "$vs_id" "$2" $vs_k "$vs_from" "$vs_t"
}

# vs_await SEQ FROM SIZE TICKS: wait until SIZE bytes came after the first FROM, or so many
# ticks; then tell how many there are and their hash. The file's offset is shared with
# the receiver, so it is the number of bytes written, and reading it is no process.
vs_await() {
	# Who only counts must not hold the node open.
	exec 3>&-
	vs_n=$4
	while read -r vs_k vs_p </proc/self/fdinfo/5 && [ "$vs_p" -lt $(($2 + $3)) ]; do
		[ "$vs_n" -gt 0 ] || break
		vs_n=$((vs_n - 1))
		vs_nap
	done
	vs_up
	# Hashed again if more came meanwhile: count and hash are of the same bytes.
	while :; do
		case $2 in
		0) vs_x=$(sha256sum <"$vs_f.in") ;;
		*) vs_x=$(tail -c +$(($2 + 1)) "$vs_f.in" | sha256sum) ;;
		esac
		vs_q=$vs_p
		read -r vs_k vs_p </proc/self/fdinfo/5
		[ "$vs_p" != "$vs_q" ] && [ "$vs_n" -gt -100 ] || break
		vs_n=$((vs_n - 10))
	done
	vs_say r "$vs_id" "$1" $((vs_p - $2)) "${vs_x%% *}" "$vs_t"
}

# vs_order ID ORDER…: opened both ways, so that it never waits for a reader.
vs_order() {
	vs_f=$vs_d/$1
	shift
	printf '%s\n' "$*" 1<>"$vs_f.orders"
}

# Agents that ended leave a FIFO that nobody reads; process numbers may be somebody else's.
vs_end() {
	trap - EXIT
	kill "$vs_watcher"
	for vs_n in "$vs_d"/*.orders; do
		[ -p "$vs_n" ] && echo close 1<>"$vs_n"
	done
	# Lazily: where a kernel has tracing, that is mounted in it by a mere look, and keeps it busy.
	[ "$vs_debug" != "$vs_d/debug" ] || umount -l "$vs_debug"
	exec 8>&- 9>&-
	rm -rf "$vs_d"
}
