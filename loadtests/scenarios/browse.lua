-- Lists in several orders, in turns. A closed loop: compare throughput with it, not latency.
local paths = {
  "/v1/products?sort=newest",
  "/v1/products?sort=price_asc",
  "/v1/products?sort=best_selling&include=variants,images",
  "/v1/products?sort=rating&limit=100",
}
local turn = 0

request = function()
  turn = turn % #paths + 1
  return wrk.format("GET", paths[turn])
end

done = function(summary)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("errors: %d of %d\n", errors, summary.requests))
end
