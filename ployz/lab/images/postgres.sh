#!/bin/sh
# Makes the database when there is none, then becomes the server (as PID 1, so that it gets the stop signal itself).
set -eu

case "${1:-}" in
-*) set -- postgres "$@" ;;
postgres) ;;
*) exec "$@" ;;
esac

# The rest runs as the server's own user. The volume may come with any owner.
if [ "$(id -u)" = 0 ]; then
    data=$(dirname "$PGDATA")
    mkdir -p "$data"
    [ "$(stat -c %u "$data")" = 999 ] || chown -R 999:999 "$data"
    # By its path: busybox would take its own setpriv, which cannot change the user.
    exec /usr/bin/setpriv --reuid=999 --regid=999 --clear-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    if [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ]; then
        method=trust
    elif [ -n "${POSTGRES_PASSWORD:-}" ]; then
        method=scram-sha-256
    else
        echo "error: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
        exit 1
    fi

    # Made beside its place and moved there when it is whole: an end on the way leaves nothing that looks like a database.
    new=$PGDATA.new
    rm -rf "$new"
    password=$(mktemp)
    printf '%s\n' "${POSTGRES_PASSWORD:-}" >"$password"
    initdb -D "$new" -U "$user" --encoding=UTF8 --locale=C --auth-local=trust --auth-host="$method" \
        ${POSTGRES_PASSWORD:+--pwfile="$password"} >/dev/null
    rm "$password"
    echo "host all all all $method" >>"$new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s"\n' "$database" | postgres --single -D "$new" -j postgres >/dev/null
    fi
    mv "$new" "$PGDATA"
fi

shift
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql "$@"
