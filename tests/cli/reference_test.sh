#!/usr/bin/env bash
# docs/command-reference.md is what the program says of itself, and every command and method is in it.
source "$(dirname "$0")/common.sh"
page=$LATHE_TEST_DATA/../../docs/command-reference.md

run 0 --reference
# The page is of a build whose default is Eigen; which others there are does not show.
sed -i -E 's/^(\| `--backend` \| text \| )`[a-z]+`/\1`eigen`/' out.txt
diff -u "$page" out.txt >&2 || fail "docs/command-reference.md is not what the program prints; renew it by
    $LATHE_PROGRAM --reference >docs/command-reference.md"

cp out.txt page.md
for command in merge adapt kinship cluster worfeval watermark inspect methods devices; do
    grep -qx "## lathe $command" page.md || fail "no $command"
done
run 0 methods
while read -r method _; do
    [[ -z $method ]] && break # a line for people is at the end
    grep -qx "### lathe merge $method" page.md || fail "no lathe merge $method"
done <out.txt
# Every flag of a help is in the table of its command or of one above it.
sed -n '/^## lathe adapt$/,/^## lathe kinship$/p' page.md >adapt.md
run 0 adapt init kasa --help
for flag in $(grep -oE '^  (-o,)?--[a-z.-]+' out.txt | grep -oE -- '--[a-z.-]+'); do
    grep -qF -- "\`$flag\`" adapt.md || fail "kasa's $flag"
done

refuse 2 'did you mean --reference' --referenc
refuse 2 'unexpected' --reference merged
