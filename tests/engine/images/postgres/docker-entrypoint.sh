#!/bin/bash
# Does what the official image's entrypoint does, as far as our compose file relies on it.
set -euo pipefail

if [ "${1#-}" != "$1" ]; then # options only: they are for the server
    set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ -s "$PGDATA/PG_VERSION" ]; then
    exec "$@"
fi

for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB; do # NAME_FILE holds a secret's path
    file=${name}_FILE
    if [ -n "${!file:-}" ]; then
        export "$name=$(<"${!file}")"
    fi
done
if [ -z "${POSTGRES_PASSWORD:-}" ]; then
    echo "The database is not initialised and POSTGRES_PASSWORD is not set." >&2
    exit 1
fi
export POSTGRES_USER=${POSTGRES_USER:-postgres}
export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
export PGUSER=$POSTGRES_USER PGDATABASE=$POSTGRES_DB

mkdir -p "$PGDATA"
chmod 700 "$PGDATA"
read -ra initdb_args <<<"${POSTGRES_INITDB_ARGS:-}"
initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") "${initdb_args[@]}"
printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"

pg_ctl --wait --options="-c listen_addresses=''" start # nobody connects before the scripts ran
if [ "$POSTGRES_DB" != postgres ]; then
    createdb --maintenance-db=postgres "$POSTGRES_DB"
fi
for script in /docker-entrypoint-initdb.d/*; do
    echo "$0: running $script"
    case $script in
        *.sh) if [ -x "$script" ]; then "$script"; else . "$script"; fi ;;
        *.sql) psql --set=ON_ERROR_STOP=1 --no-psqlrc --file="$script" ;;
    esac
done
pg_ctl --wait --mode=fast stop
unset PGUSER PGDATABASE
echo "PostgreSQL init process complete; ready for start up."
exec "$@"
