return {
  name = "matchbox",
  api = 1,
  version = "1.0.0",
  help = "serves an existing matchbox folder: groups, profiles, templates, assets",
  lua = "matchbox",
}
