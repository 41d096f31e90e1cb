-- Whether something may be done once more, without doing it. As take.lua.
local interval, allowed = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.min(full, now + allowed + interval)
if full - now > allowed then
    return full - now - allowed
end
return 0
