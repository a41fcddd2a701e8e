#compdef netlab
# netlab's words for zsh: put it into a folder of $fpath as _netlab, or source it after compinit.
_netlab() {
  local line
  local -a found shown
  while IFS= read -r line; do
    found+=("${line%%$'\t'*}")
    shown+=("${line/$'\t'/  -- }")
  done < <(netlab complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#found )); then
    compadd -l -d shown -a found
  else
    _files
  fi
}
if [[ $funcstack[1] == _netlab ]]; then _netlab "$@"; else compdef _netlab netlab; fi
