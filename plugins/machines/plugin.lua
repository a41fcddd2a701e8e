return {
  name = "machines",
  api = 1,
  version = "1.0.0",
  help = "what fits on which machine: memory, processors, virtualisation; `netlab check` says what does not",
  lua = "machines",
}
