#!/bin/sh
# Installs doai's services on this host: users, folders, units, udev rule, first settings. Asks nothing, starts nothing.
#   deploy/install.sh [--dry-run] broker | admin | node@NAME ...
# --dry-run shows what would be done. DESTDIR=FOLDER writes there and leaves the running system alone.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
destination=${DESTDIR:-}
dry_run=

fail() {
  echo "install.sh: $1" >&2
  exit "$2"
}

do_it() {
  echo "+ $*"
  [ -n "$dry_run" ] || "$@"
}

# What changes the running system rather than a folder.
do_here() {
  if [ -n "$destination" ]; then
    echo "# later, on the host: $*"
  else
    do_it "$@"
  fi
}

put() { # FILE TARGET MODE: with the folder of this checkout in place of /opt/doai
  echo "+ write $destination$2"
  [ -z "$dry_run" ] || return 0
  mkdir -p "$(dirname "$destination$2")"
  sed "s#/opt/doai/#$root/#g" "$1" >"$destination$2"
  chmod "$3" "$destination$2"
}

put_once() { # settings are their owner's: never written over
  if [ -e "$destination$2" ]; then
    echo "# kept as it is: $destination$2"
  else
    put "$1" "$2" 640
  fi
}

[ "${1:-}" != --dry-run ] || { dry_run=yes && shift; }
[ $# -gt 0 ] || fail "name what to install: broker, admin, node@NAME (several at once if they share the host)" 2
case $root in *[!A-Za-z0-9/._-]*) fail "$root: the folder needs a plain name, such as /opt/doai" 78 ;; esac
for service in "$@"; do
  case $service in
    broker | admin) ;;
    node@*[!a-z0-9._-]* | node@) fail "$service: a node's name is of a-z 0-9 . _ -, such as node@shelf-1" 2 ;;
    node@*) ;;
    *) fail "there is no service $service: there are broker, admin, node@NAME" 2 ;;
  esac
done
[ -n "$dry_run$destination" ] || [ "$(id -u)" = 0 ] || fail "run it as root, or with --dry-run" 77

put "$root/deploy/sysusers.d/doai.conf" /usr/lib/sysusers.d/doai.conf 644
put "$root/deploy/tmpfiles.d/doai.conf" /usr/lib/tmpfiles.d/doai.conf 644
units=
for service in "$@"; do
  case $service in
    node@*)
      put "$root/deploy/systemd/doai-node@.service" /etc/systemd/system/doai-node@.service 644
      put "$root/deploy/udev/70-doai-adb.rules" /usr/lib/udev/rules.d/70-doai-adb.rules 644
      put_once "$root/deploy/examples/node.toml" "/etc/doai/node-${service#node@}.toml"
      ;;
    *)
      put "$root/deploy/systemd/doai-$service.service" "/etc/systemd/system/doai-$service.service" 644
      put_once "$root/deploy/examples/$service.toml" "/etc/doai/$service.toml"
      ;;
  esac
  units="$units doai-$service"
done
do_here systemd-sysusers doai.conf
do_here systemd-tmpfiles --create doai.conf
do_here "$root/bin/doai" --version # makes the environment of Python packages, if it is not there yet
do_here systemctl daemon-reload
case $units in *doai-node@*)
  do_here udevadm control --reload
  do_here udevadm trigger --subsystem-match=usb
  ;;
esac
echo "Look at the settings in $destination/etc/doai, then: systemctl enable --now$units"
echo "$root/bin/doai doctor says what is still missing."
