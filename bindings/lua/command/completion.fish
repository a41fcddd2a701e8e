# netlab's words for fish: put it into a completions folder as netlab.fish.
complete -c netlab -a '(netlab complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
