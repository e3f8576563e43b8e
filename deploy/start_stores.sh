#!/bin/sh
# PostgreSQL for Optuna's studies and for MLflow, and an MLflow server that keeps the artifacts: what several machines share.
#
#   deploy/start_stores.sh FOLDER          starts what does not run, with its data in FOLDER, and prints the two addresses
#   deploy/start_stores.sh FOLDER stop     ends both; starting again loses nothing
#
# Needs PostgreSQL's programs (Debian: apt-get install postgresql), and sota-exp with [postgres] in $PYTHON's environment.
# Variables: HOST (127.0.0.1: this machine alone), POSTGRES_PORT (5432), MLFLOW_PORT (5000), PYTHON (python3), and
# MLFLOW_SERVER_ALLOWED_HOSTS where machines name the server by anything but a private address.
# PostgreSQL asks for the password in FOLDER/password. MLflow asks for none: its port belongs behind a VPN or a proxy.
set -eu

folder=${1:?usage: deploy/start_stores.sh FOLDER [stop]}
folder=$(mkdir -p "$folder" && cd "$folder" && pwd)
host=${HOST:-127.0.0.1} database_port=${POSTGRES_PORT:-5432} mlflow_port=${MLFLOW_PORT:-5000} python=${PYTHON:-python3}
programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
programs=${programs:-$(dirname "$(command -v initdb)")}

# PostgreSQL refuses to run as root; Debian's package comes with a user for it.
as_owner() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }
runs() { [ -f "$folder/mlflow.pid" ] && kill -0 "$(cat "$folder/mlflow.pid")" 2>/dev/null; }
is_ready() { "$python" -c "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=2)" "$1" 2>/dev/null; }

if [ "${2:-}" = stop ]; then
    if runs; then kill -- "-$(cat "$folder/mlflow.pid")"; fi
    while runs; do sleep 0.1; done
    as_owner "$programs/pg_ctl" -D "$folder/postgres/data" -m fast -w stop
    exit
fi

mkdir -p "$folder/postgres" "$folder/artifacts"
if [ ! -f "$folder/password" ]; then
    (umask 077 && "$python" -c "import secrets; print(secrets.token_hex(16))" > "$folder/password")
fi
password=$(cat "$folder/password")
if [ ! -d "$folder/postgres/data" ]; then
    given=$(mktemp) && cat "$folder/password" > "$given"
    if [ "$(id -u)" = 0 ]; then chown postgres "$folder/postgres" "$given"; fi
    as_owner "$programs/initdb" --auth=scram-sha-256 --pwfile="$given" --username=sota_exp --encoding=UTF8 -D "$folder/postgres/data" > /dev/null
    rm "$given"
fi
if ! as_owner "$programs/pg_ctl" -D "$folder/postgres/data" status > /dev/null; then
    options="-p $database_port -c listen_addresses=$host -c unix_socket_directories=$folder/postgres -c max_connections=500"
    echo "host all all all scram-sha-256" | as_owner sh -c "cat > '$folder/postgres/data/pg_hba.conf'"
    as_owner "$programs/pg_ctl" -D "$folder/postgres/data" -l "$folder/postgres/log" -o "$options" -w start > /dev/null
fi
reach=$host
if [ "$host" = 0.0.0.0 ]; then reach=127.0.0.1; fi
for name in optuna mlflow; do
    PGPASSWORD=$password "$programs/psql" -h "$reach" -p "$database_port" -U sota_exp -d postgres -tAc "SELECT 1 FROM pg_database WHERE datname = '$name'" \
        | grep -q 1 || PGPASSWORD=$password "$programs/createdb" -h "$reach" -p "$database_port" -U sota_exp "$name"
done

if ! runs; then
    # The address of the store has the password, which must not be among the arguments of a process.
    export MLFLOW_BACKEND_STORE_URI="postgresql://sota_exp:$password@$reach:$database_port/mlflow"
    export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
    setsid "$python" -m mlflow server --host "$host" --port "$mlflow_port" --workers 2 \
        --artifacts-destination "$folder/artifacts" > "$folder/mlflow.log" 2>&1 &
    echo $! > "$folder/mlflow.pid"
fi
until is_ready "http://$reach:$mlflow_port/health"; do
    if ! runs; then
        echo "MLflow's server did not start; the end of $folder/mlflow.log: $(tail -1 "$folder/mlflow.log")" >&2
        exit 1
    fi
    sleep 0.5
done
echo "hydra.sweeper.storage=postgresql://sota_exp:$password@$reach:$database_port/optuna"
echo "tracking.uri=http://$reach:$mlflow_port"
