-- What waits in a cut-over waits here, inside HAProxy: with nobody else alive it still ends at its deadline.
-- The map has a line for each backend that is held: its name, and until when, in ms of wall time.
-- Defined above: map_file; held_max, the most that may wait for one backend; refused_status, retry_after, refusal: what
-- others are answered.

local holds = Map.new(map_file, Map._str)

-- The more wait, the less often each of them looks: they all live in one processor's time.
local LOOK_EVERY_MS, LOOKS_PER_MS = 10, 10

local now_held, ever, expired, turned_away = {}, {}, {}, {}

local function add(counts, name, number)
  counts[name] = (counts[name] or 0) + number
end

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec // 1000
end

local function until_ms(name)
  return tonumber(holds:lookup(name) or "")
end

-- True: go on to a server. False: refuse.
local function wait(name)
  local ends_ms = until_ms(name)
  if ends_ms == nil or now_ms() >= ends_ms then
    return true
  end
  if (now_held[name] or 0) >= held_max then
    add(turned_away, name, 1)
    return false
  end
  add(now_held, name, 1)
  add(ever, name, 1)
  local released = false
  while not released do
    core.msleep(math.max(LOOK_EVERY_MS, now_held[name] // LOOKS_PER_MS))
    ends_ms = until_ms(name)
    if ends_ms == nil then
      released = true
    elseif now_ms() >= ends_ms then
      add(expired, name, 1)
      break
    end
  end
  add(now_held, name, -1)
  return released
end

core.register_action("hold", {"http-req"}, function(txn)
  if not wait(txn.f:be_name()) then
    local reply = txn:reply()
    reply:set_status(refused_status)
    reply:add_header("content-type", "text/plain")
    reply:add_header("Retry-After", retry_after)
    reply:set_body(refusal)
    txn:done(reply)
  end
end)

core.register_action("hold_tcp", {"tcp-req"}, function(txn)
  if not wait(txn.f:be_name()) then
    txn:set_var("txn.refused", true)
  end
end)

core.register_cli({"show", "holds"}, "show holds : NAME now ever expired turned-away, since this worker started",
  function(applet)
    local names = {}
    for name in pairs(ever) do names[name] = true end
    for name in pairs(turned_away) do names[name] = true end
    for name in pairs(names) do
      applet:send(string.format("%s %d %d %d %d\n", name, now_held[name] or 0, ever[name] or 0, expired[name] or 0,
        turned_away[name] or 0))
    end
  end)
