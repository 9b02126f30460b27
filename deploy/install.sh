#!/bin/sh
# Installs doai's services on this host: users, folders, units, udev rule, first settings. Asks nothing, starts nothing.
#   deploy/install.sh [--dry-run] broker | admin | node@NAME | bot@NAME ...
#   deploy/install.sh --join node@NAME < TOKEN
# --dry-run shows what would be done. DESTDIR=FOLDER writes there and leaves the running system alone.
# --join then joins the node with the token of `doai nodes enroll` that it reads from standard input.
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

joins=
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=yes ;;
    --join) joins=yes ;;
    *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || fail "name what to install: broker, admin, node@NAME, bot@NAME (several at once if they share the host)" 2
case $root in *[!A-Za-z0-9/._-]*) fail "$root: the folder needs a plain name, such as /opt/doai" 78 ;; esac
for service in "$@"; do
  case $service in
    broker | admin) ;;
    node@*[!a-z0-9._-]* | node@) fail "$service: a node's name is of a-z 0-9 . _ -, such as node@shelf-1" 2 ;;
    bot@*[!a-z0-9._-]* | bot@) fail "$service: a bot's name is of a-z 0-9 . _ -, such as bot@thermal-guard" 2 ;;
    node@* | bot@*) ;;
    *) fail "there is no service $service: there are broker, admin, node@NAME, bot@NAME" 2 ;;
  esac
done
case $joins,$#,$1 in
  yes,1,node@* | ,*) ;;
  *) fail "--join is for one node: install.sh --join node@NAME < TOKEN" 2 ;;
esac
[ -n "$dry_run$destination" ] || [ "$(id -u)" = 0 ] || fail "run it as root, or with --dry-run" 77

put "$root/deploy/sysusers.d/doai.conf" /usr/lib/sysusers.d/doai.conf 644
put "$root/deploy/tmpfiles.d/doai.conf" /usr/lib/tmpfiles.d/doai.conf 644
units=
for service in "$@"; do
  case $service in
    node@*)
      put "$root/deploy/systemd/doai-node@.service" /etc/systemd/system/doai-node@.service 644
      put "$root/deploy/udev/70-doai-adb.rules" /usr/lib/udev/rules.d/70-doai-adb.rules 644
      [ -n "$joins" ] || put_once "$root/deploy/examples/node.toml" "/etc/doai/node-${service#node@}.toml"
      ;;
    bot@*)
      put "$root/deploy/systemd/doai-bot@.service" /etc/systemd/system/doai-bot@.service 644
      put_once "$root/deploy/examples/bot.toml" "/etc/doai/bot-${service#bot@}.toml"
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
if [ -n "$joins" ]; then
  name=${1#node@}
  settings=$destination/etc/doai/node-$name.toml
  data=$destination/var/lib/doai/node-$name
  # Tags and the like in settings that are there stay; those of an example or of an earlier enrolment are replaced.
  do_it "$root/bin/node" --join - --force --name "$name" --config "$settings" --data-dir "$data" ||
    fail "$name has not joined: see the line above; the same command with a good token goes on from here" $?
  do_here chown -R doai-node:doai-node "$data"
  do_here chown root:doai-node "$settings"
  do_here chmod 0640 "$settings"
fi
do_here systemctl daemon-reload
case $units in *doai-node@*)
  do_here udevadm control --reload
  do_here udevadm trigger --subsystem-match=usb
  ;;
esac
echo "Look at the settings in $destination/etc/doai, then: systemctl enable --now$units"
echo "$root/bin/doai doctor says what is still missing."
