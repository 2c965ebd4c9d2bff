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

mkdir -p "$PGDATA"
chmod 700 "$PGDATA"
read -ra initdb_args <<<"${POSTGRES_INITDB_ARGS:-}"
initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") "${initdb_args[@]}"
printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"

# Nobody connects before the scripts ran: no address to listen on.
PGUSER=$POSTGRES_USER pg_ctl --wait --options="-c listen_addresses=''" start
if [ "$POSTGRES_DB" != postgres ]; then
    createdb --username="$POSTGRES_USER" --maintenance-db=postgres "$POSTGRES_DB"
fi
for script in /docker-entrypoint-initdb.d/*; do
    echo "$0: $script"
    case $script in
        *.sql)
            psql --set=ON_ERROR_STOP=1 --no-psqlrc --no-password --username="$POSTGRES_USER" \
                --dbname="$POSTGRES_DB" --file="$script"
            ;;
        *.sh)
            if [ -x "$script" ]; then
                "$script"
            else
                # shellcheck source=/dev/null
                . "$script"
            fi
            ;;
    esac
done
PGUSER=$POSTGRES_USER pg_ctl --wait --mode=fast stop
echo "PostgreSQL init process complete; ready for start up."
exec "$@"
