-- Takes the paths to ask for in turn from the file named in BENCH_PATHS, and prints exact totals at the end.
local file = os.getenv("BENCH_PATHS")
local requests, at = {}, 0

if file then
  function init(args)
    for path in io.lines(file) do
      requests[#requests + 1] = wrk.format("GET", path)
    end
  end

  function request()
    at = at % #requests + 1
    return requests[at]
  end
end

function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format("BENCH %d %d %d %d\n", summary.requests, summary.bytes, summary.duration,
    e.connect + e.read + e.write + e.status))
end
