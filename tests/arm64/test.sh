#!/usr/bin/env bash
# Runs what is built for arm64 in Debian's own Python for arm64, under qemu-user:
# test.sh CACHE. CACHE/build has zig; Debian's packages and the wheels stay in
# CACHE/arm64. Three forms:
#
#   console   the Python package's script
#   become    the program, which becomes Debian's Python, that uses no libpython
#   embedded  the program, and a Python that uses one
#
# The program starts Python itself, so the kernel has to know of qemu (binfmt_misc).
set -euo pipefail
set -m # else what runs in the background ignores SIGINT
cd "$(dirname "$0")/../.."
cache=$1/arm64 zig="$1/build/bin/python -m ziglang cc -target aarch64-linux-gnu.2.17"
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || {
    echo "skipped: qemu-user is not installed: apt install qemu-user-static"
    exit 0
}
command -v apt-get dpkg-deb >/dev/null || {
    echo "skipped: Debian's packages are unpacked with apt-get and dpkg-deb"
    exit 0
}
root=$cache/root
mkdir -p "$cache"

if ! [ -e "$cache/linked" ]; then
    rm -rf "$cache"
    mkdir -p "$cache"/{state/lists/partial,archives/partial,wheels,root}
    : >"$cache/status"
    cat >"$cache/apt.conf" <<END
APT { Architecture "arm64"; Architectures { "arm64"; }; Sandbox::User "root"; };
Dir { State "$cache/state"; State::status "$cache/status"; Cache "$cache"; Cache::archives "$cache/archives"; };
END
    export APT_CONFIG=$cache/apt.conf
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends --download-only python3 '^libpython3[.][0-9]+$' >/dev/null
    unset APT_CONFIG
    for package in "$cache"/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    # Python's own main program, linked with Debian's libpython.
    printf 'int Py_BytesMain(int, char **);\nint main(int n, char **v) { return Py_BytesMain(n, v); }\n' |
        $zig -x c - -o "$root/usr/bin/python3-shared" -Wl,--allow-shlib-undefined "$root"/usr/lib/*/libpython3*.so.1.0
    version=$("$qemu" -L "$root" "$root/usr/bin/python3" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    platforms=(--platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64)
    "$1/build/bin/python" -m pip download -q --disable-pip-version-check --only-binary :all: "${platforms[@]}" \
        --python-version "$version" -d "$cache/wheels" alembic sqlalchemy greenlet tomli 'psycopg[binary]'
    for wheel in "$cache"/wheels/*.whl; do "$1/build/bin/python" -m zipfile -e "$wheel" "$cache/site"; done
    touch "$cache/linked"
fi

export CGO_ENABLED=1 GOOS=linux GOARCH=arm64
make -s build CC="$zig" BIN="$cache/reflex-db"
unset CGO_ENABLED GOOS GOARCH
pyshim=$PWD/pyshim

forms=(console)
export QEMU_LD_PREFIX=$root REFLEX_PYTHON=$root/usr/bin/python3
if "$REFLEX_PYTHON" -c "" 2>/dev/null; then
    forms+=(become embedded)
else
    echo "skipped: the program itself; register qemu with binfmt_misc: apt install binfmt-support qemu-user-static"
fi

project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
cp -R examples/shop/shop "$project/shop"
cd "$project"
mkdir bin
printf 'import sys\nfrom reflex_driver import console\nsys.exit(console.main())\n' >bin/reflex-db
for variable in $(compgen -v | grep -E '^(PYTHON|REFLEX_DB|VIRTUAL_ENV)'); do unset "$variable"; done
export PYTHONPATH=$cache/site:$pyshim XDG_CACHE_HOME=$project/cache
reflex() {
    case $form in
    console) exec "$qemu" "$REFLEX_PYTHON" "$project/bin/reflex-db" "$@" ;;
    *) exec "$cache/reflex-db" "$@" ;;
    esac
}
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# migrate goes from no revision to two and back, with $driver, in $form.
migrate() {
    case $driver in
    sqlite) export REFLEX_DB_URL=sqlite:///$project/app.db ;;
    *) export REFLEX_DB_URL=${REFLEX_TEST_PG_URL/postgresql:/$driver:} ;;
    esac
    rm -rf alembic alembic.ini started app.db
    (reflex init --models shop.models:Base)
    (reflex revision --autogenerate -m first)
    grep -q create_table alembic/versions/*.py || fail "$driver: autogenerate has found no table"
    (reflex upgrade head)
    (reflex revision -m second)
    second=$(echo alembic/versions/*_second.py)
    printf '\n\ndef upgrade() -> None:\n    import time\n    op.execute("CREATE TABLE half (id INTEGER)")\n    open("started", "w").close()\n    time.sleep(120)\n' >>"$second"
    printf '\n\ndef downgrade() -> None:\n    op.execute("DROP TABLE half")\n' >>"$second"
    before=$(reflex current 2>/dev/null)
    for signal in INT TERM; do
        rm -f started
        (reflex upgrade head) &
        run=$!
        for _ in $(seq 600); do
            [ -e started ] && break
            kill -0 $run 2>/dev/null || break
            sleep 0.1
        done
        [ -e started ] || fail "$driver: the upgrade has not begun"
        kill -s $signal $run
        status=0
        wait $run || status=$?
        [ $status = $((128 + $(kill -l $signal))) ] || fail "$driver: exit status $status after SIG$signal"
        [ "$(reflex current 2>/dev/null)" = "$before" ] || fail "$driver: the revision is not rolled back"
    done
    sed -i 's/time.sleep(120)/pass/' "$second"
    (reflex upgrade head) || fail "$driver: the next run does not finish" # the table half is not there
    (reflex downgrade base) || fail "$driver: the way back"
    echo "ok: $form, $driver"
}

for form in "${forms[@]}"; do
    [ "$form" != embedded ] || REFLEX_PYTHON=$root/usr/bin/python3-shared
    (reflex version)
    for driver in sqlite postgresql+psycopg; do migrate; done
done
