# Sourced by tests/run.sh and examples/quickstart.sh.

say() { printf '==> %s\n' "$*"; }

# install_packages PACKAGE...: Debian packages that are not there yet. Asks for rights only if one is missing.
install_packages() {
    local package missing=() as_root=()
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian: please see to it that these, or what they are called here, are installed: $*"
        return
    fi
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        say "all packages are installed"
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "these packages are missing, and installing them takes root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    say "installing: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" </dev/null
}

# What building the programs takes; the tests add to it.
build_packages=(g++ cmake ninja-build libeigen3-dev libboost-dev librange-v3-dev nlohmann-json3-dev libcli11-dev
    libyaml-cpp-dev)
# What the other backends take.
backend_packages=(libxtensor-dev ocl-icd-opencl-dev opencl-headers pocl-opencl-icd libclblast-dev)
