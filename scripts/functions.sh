#!/bin/sh
# Builds functions written in C: FILE.c becomes FILE.wasm.
#
#   scripts/functions.sh                      the shipped ones, functions/builtin/*.c
#   scripts/functions.sh -o DIR [FILE.c ...]  into DIR, and others if named
#
# Needs clang and wasm-ld (apt-get install clang lld). The committed files are
# those of clang 14, Debian 12's; another version builds other bytes that do the same.
set -eu

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64; }

version=14
root=$(cd "$(dirname "$0")/.." && pwd)
out=
while getopts o: option; do
	case $option in
	o) out=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- "$root"/functions/builtin/*.c

# Prefer clang-14 by name, as a newer clang may be the default beside it.
find_tool() { # find_tool NAME PACKAGE
	for tool in "$1-$version" "$1"; do
		if command -v "$tool" >/dev/null 2>&1; then
			echo "$tool"
			return
		fi
	done
	echo "functions.sh: $1 is missing; run: apt-get install $2" >&2
	exit 1
}
clang=$(find_tool clang clang)
linker=$(find_tool wasm-ld lld)

found=$("$clang" -dumpversion | cut -d. -f1)
linked=$("$linker" --version | sed 's/.*LLD \([0-9]*\).*/\1/')
if [ "$found" != "$version" ] || [ "$linked" != "$version" ]; then
	echo "functions.sh: the committed .wasm files are built with clang and lld $version, here are clang $found and lld $linked:" >&2
	echo "	what they build does the same but has other bytes; for $version run: apt-get install clang-$version lld-$version" >&2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

for source; do
	name=$(basename "$source" .c)
	# -ffp-contract=off: never a fused multiply-add, so that results are the same
	# everywhere. clang's own linking would call wasm-opt if there is one, hence wasm-ld.
	"$clang" --target=wasm32 -std=c11 -O2 -nostdlib -ffreestanding -ffp-contract=off -fno-ident \
		-mbulk-memory -msign-ext -mnontrapping-fptoint -fvisibility=hidden \
		-Wall -Wextra -Werror -I "$root/functions/sdk/c" -c "$source" -o "$work/$name.o"
	"$linker" --no-entry --stack-first -z stack-size=16384 --strip-all \
		"$work/$name.o" -o "$work/$name.wasm"
	chmod 644 "$work/$name.wasm"
	mv "$work/$name.wasm" "${out:-$(dirname "$source")}/$name.wasm"
done
