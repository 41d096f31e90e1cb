-- Does something once more, if it may be done. KEYS: the subject. ARGV: interval, and how far ahead it may be, in us.
-- What is kept is the moment at which the subject has all of its burst back. Gives 0, or the us to wait.
local interval, allowed = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call('GET', KEYS[1]) or now)
-- Never further ahead than a whole burst, should the clock have been set back.
full = math.min(math.max(full, now), now + allowed + interval)
if full - now > allowed then
    return full - now - allowed
end
full = full + interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
