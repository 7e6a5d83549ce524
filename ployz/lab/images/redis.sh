#!/bin/sh
# Becomes Redis, as PID 1 and as a user without rights; what follows `redis-server` goes to it as it is.
set -eu

case "${1:-}" in
-*) set -- redis-server "$@" ;;
redis-server) ;;
*) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
    [ "$(stat -c %u /data)" = 999 ] || chown -R 999:999 /data
    # By its path: busybox would take its own setpriv, which cannot change the user.
    exec /usr/bin/setpriv --reuid=999 --regid=999 --clear-groups "$0" "$@"
fi

shift
exec redis-server --dir /data --appendonly yes --protected-mode no --bind '*' '-::*' "$@"
