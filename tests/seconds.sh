#!/bin/sh
# The seconds that each file of tests took, from nextest's JUnit file: the sum of
# its tests, and the longest of them.
set -eu
sed -n 's/.*<testcase name="\([^"]*\)" classname="\([^"]*\)".* time="\([^"]*\)".*/\2 \3 \1/p' "$1" |
  awk '{ sub(/^camera-agent(::)?/, "", $1); file = $3; sub(/::.*/, "", file)
         $1 = $1 == "" ? "lib" : $1 "/" file; sum[$1] += $2; n[$1]++
         if ($2 >= most[$1]) { most[$1] = $2; which[$1] = $3 } }
       END { for (b in sum) printf "%8.1f s  %4d tests  %-18s longest %.1f s, %s\n", sum[b], n[b], b, most[b], which[b] }' |
  sort -rn
