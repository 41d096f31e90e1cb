-- What was taken last does not count after all. KEYS: the subject. ARGV: interval in us.
local full = tonumber(redis.call('GET', KEYS[1]))
if not full then
    return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
full = full - tonumber(ARGV[1])
if full <= now then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
end
return 0
