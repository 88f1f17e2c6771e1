#!/bin/sh
# pack.sh DIR PROGRAM... compresses the programs into DIR/NAME.zst and writes DIR/manifest.json: name, size and SHA-256 of
# each program before compression. The manifest is written last, so a broken run leaves none.
set -eu
dir=$1
shift
mkdir -p "$dir"
rm -f "$dir/manifest.json"
list=
for program in "$@"; do
	name=$(basename "$program")
	sum=$(sha256sum "$program" | cut -d' ' -f1)
	size=$(stat -c %s "$program")
	# Compressing is the slow part: do it only for what changed.
	if [ ! -f "$dir/$name.zst" ] || [ "$(cat "$dir/.$name.sum" 2>/dev/null)" != "$sum" ]; then
		rm -f "$dir/.$name.sum"
		nice -n 5 zstd -q -f -17 -T0 "$program" -o "$dir/$name.zst"
		echo "$sum" >"$dir/.$name.sum"
	fi
	[ -z "$list" ] || list="$list,
"
	list="$list  {\"name\": \"$name\", \"size\": $size, \"sha256\": \"$sum\"}"
done
printf '[\n%s\n]\n' "$list" >"$dir/manifest.json.new"
mv "$dir/manifest.json.new" "$dir/manifest.json"
