# netlab's words for bash: source this file, or put it where bash-completion looks.
_netlab() {
  local line
  COMPREPLY=()
  while IFS=$'\t' read -r line _; do
    [[ $line == "${COMP_WORDS[COMP_CWORD]}"* ]] && COMPREPLY+=("$line")
  done < <(netlab complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o bashdefault -o default -F _netlab netlab
