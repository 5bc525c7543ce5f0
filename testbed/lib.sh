# shellcheck shell=bash
# lib.sh: what the testbed scripts share. Sourced, never run.
#
#   ALLOCSYNC_TESTBED  where running servers keep their state (thrown away by "stop")
#   ALLOCSYNC_CACHE    what is expensive to make and kept between runs (safe to delete at any time)

# Some machines export this for containers' sake; without compiled modules each NetBox start costs seconds more.
unset PYTHONDONTWRITEBYTECODE
export DEBIAN_FRONTEND=noninteractive

BED=${ALLOCSYNC_TESTBED:-${TMPDIR:-/tmp}/allocsync-testbed}
CACHE=${ALLOCSYNC_CACHE:-${HOME:-/root}/.cache/allocsync-testbed}
# shellcheck disable=SC2034 # for testbed/incus and testbed/libvirt
SKIP=77 # exit code for "this machine cannot", as automake has it

log() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { log "$@"; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root: it installs packages and runs servers under their own users"; }

# The state folder has a well-known name in a folder that everyone may write to: refuse somebody else's.
make_folders() {
  mkdir -p "$BED" "$CACHE"
  [ -O "$BED" ] || die "$BED belongs to somebody else; set ALLOCSYNC_TESTBED to a folder of your own"
  chmod 0755 "$BED" # PostgreSQL's user passes through; what is secret in it is 0600 by itself
}

# lock NAME: holds $NAME.lock until this script ends. Children must not inherit it: see spawn.
lock() { # the lock files stay: removing one that others wait for would let two in
  exec 9>>"$1.lock"
  flock -n 9 || { log "waiting for another run of this script"; flock -w 1200 9 || die "$1.lock is still held after 20 minutes"; }
}

# with_lock NAME COMMAND...: the same around one command (which runs in a subshell).
with_lock() {
  local name=$1; shift
  ( exec 8>>"$name.lock"; flock 8; "$@" )
}

# ---- packages ----

missing() { # of the packages named, those not installed
  local p
  for p in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s\n' "$p"
  done
}

# apt_install [-t SUITE] PACKAGE...: installs what is missing, and starts no service: the testbed runs
# its own servers, and a package's own would only be in the way (or fail, without an init system).
apt_install() {
  local target=() todo
  if [ "$1" = -t ]; then target=(-t "$2"); shift 2; fi
  mapfile -t todo < <(missing "$@")
  [ ${#todo[@]} -gt 0 ] || return 0
  need_root
  log "installing ${todo[*]}"
  with_lock "$CACHE/apt" apt_run "${target[@]}" "${todo[@]}"
}

apt_run() {
  local policy=/usr/sbin/policy-rc.d out=$CACHE/apt.log
  if [ ! -e "$policy" ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT # of with_lock's subshell
    printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"
  fi
  # An "update" that fails for one third-party source still leaves the lists that matter.
  apt-get -qq -o DPkg::Lock::Timeout=300 update >"$out" 2>&1 || :
  apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >>"$out" 2>&1 </dev/null ||
    { tail -n 20 "$out" >&2; die "apt-get install $* failed"; }
}

mirror() { # the Debian mirror that this machine already uses
  local codename site
  # shellcheck disable=SC1091
  codename=$(. /etc/os-release; printf '%s' "$VERSION_CODENAME")
  # shellcheck disable=SC2016
  site=$(apt-get indextargets --format '$(SITE)' "Codename: $codename" 'Created-By: Packages' | sed -n 1p)
  [ -n "$site" ] || die "apt knows no source of Debian $codename"
  printf '%s' "$site"
}

# unpack CODENAME FOLDER OPTION-OR-PACKAGE...: files of Debian packages and of all that they need, of any
# release; nothing is installed. apt gets a world of its own, in which no package is installed yet.
unpack() {
  local codename=$1 root=$2 apt=$2.apt deb; shift 2
  rm -rf "$apt" "$root"; mkdir -p "$apt"/{lists,cache/archives}/partial "$root"/usr/{bin,sbin,lib,lib64}
  printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) %s main\n" "$codename" "$codename-backports" >"$apt/sources.list"
  : >"$apt/status"
  local run=(apt-get -qq -y -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists"
    -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
  "${run[@]}" update
  "${run[@]}" install --no-install-recommends --download-only "$@" >/dev/null
  for deb in bin sbin lib lib64; do ln -s "usr/$deb" "$root/$deb"; done
  for deb in "$apt"/cache/archives/*.deb; do dpkg -x "$deb" "$root"; done
  rm -rf "$apt"
}

# ---- processes ----
# A pid file holds pid, start time and boot id: together they name one process for ever, so that a
# stale file never makes "stop" hit a stranger that got the same pid.

identity() { # PID: its identity, nothing if there is none; a zombie counts as gone
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0 # not $(<...): when that fails, bash 5.2 exits
  read -ra stat <<<"${stat##*) }"
  [ "${stat[0]}" = Z ] || printf '%s %s %s\n' "$1" "${stat[19]}" "$(</proc/sys/kernel/random/boot_id)"
}

pid_of() { # FILE: the pid if that very process still runs
  local was now
  { read -r was <"$1"; } 2>/dev/null || return 1
  now=$(identity "${was%% *}")
  [ -n "$now" ] && [ "$was" = "$now" ] && printf '%s' "${was%% *}"
}
alive() { pid_of "$1" >/dev/null; }

# spawn PIDFILE LOG COMMAND...: in a session of its own, without our locks and pipes. The variable marks
# all its descendants, also those that leave the session, as rq's workers do.
spawn() {
  local file=$1 out=$2 pid; shift 2
  TESTBED_PIDFILE=$file setsid -- "$@" </dev/null >>"$out" 2>&1 8>&- 9>&- &
  pid=$!
  identity "$pid" >"$file"
}

gone() { # PIDFILE TENTHS: waits
  local n
  for ((n = $2; n > 0; n--)); do alive "$1" || return 0; sleep 0.1; done
  return 1
}

# halt PIDFILE SIGNAL: ends the process, by force after 5 s, and what is left of its descendants.
halt() {
  local pid
  [ -e "$1" ] || return 0
  if pid=$(pid_of "$1"); then
    kill "-$2" "$pid" 2>/dev/null || :
    gone "$1" 50 || { kill -KILL "$pid" 2>/dev/null || :; gone "$1" 50 || log "pid $pid does not die"; }
  fi
  descendants "$1" | xargs -r kill -KILL 2>/dev/null || :
  rm -f "$1"
}

descendants() { # PIDFILE: pids of what was spawned under that name and still runs
  grep -lszx "TESTBED_PIDFILE=$1" /proc/[0-9]*/environ | cut -d/ -f3 || :
}

free_port() { # FIRST: the first port from there on that nobody listens on
  local p
  for ((p = $1; p < $1 + 200; p++)); do
    (: <"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { printf '%s' "$p"; return; }
  done
  die "no free port from $1 on"
}

random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
