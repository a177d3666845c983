#!/usr/bin/env bash
# Install Chromium and CJK fonts where that is possible; otherwise say what is missing and what is lost by it.
set -u
missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
fc-list 2>/dev/null | grep -qi "cjk" || missing+=(fonts-noto-cjk)
# continuous integration also tests against a real PostgreSQL server; elsewhere that is left to the user
[ -z "${CI:-}" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0
if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
  as_root=""; [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  echo "installing ${missing[*]} (once)"
  if $as_root apt-get update -qq >/dev/null 2>&1 &&
     DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "note: not installed and not installable from here: ${missing[*]}."
echo "      Without chromium the browser tests skip; without fonts-noto-cjk pictures show Chinese as boxes. Everything else works."
