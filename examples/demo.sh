#!/bin/sh
# `make demo`: examples/shop, from models to a migrated SQLite database.
# Usage: demo.sh REFLEX PYTHON DIRECTORY; the directory is made anew.
set -eu
reflex=$1 python=$2 work=$3
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

rm -rf "$work/shop"
mkdir -p "$work"
mkdir "$work/shop" # its revisions stay behind
cp -R "$here/shop/shop" "$here/shop/requirements.txt" "$work/shop"
cd "$work/shop"

if [ ! -x ../.venv/bin/python ] || ! ../.venv/bin/python -c 'import alembic, reflex_orm' 2>/dev/null; then
    run "$python" -m venv ../.venv
    run ../.venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r requirements.txt "$here/../pyshim"
fi

PATH=$(dirname -- "$reflex"):$PATH
export PATH REFLEX_DB_URL=sqlite:///shop.db
printf '\n$ export REFLEX_DB_URL=%s\n' "$REFLEX_DB_URL"
run reflex version
run reflex db init --models shop.models:Base
run reflex db revision --autogenerate -m "first tables"
run reflex db upgrade head
run reflex db history --indicate-current
run ../.venv/bin/python -m shop
printf '\nThe project is in %s\n' "$PWD"
