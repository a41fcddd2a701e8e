return {
  name = "awslab",
  api = 1,
  version = "1.0.0",
  help = "a lab in AWS as a declaration: plan with prices, apply, drift, adopt, teardown to nothing, inventory",
  lua = "awslab",
}
