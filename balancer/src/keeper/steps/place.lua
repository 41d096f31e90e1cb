-- Chooses the least filled node for a login and promises a place there. ARGV: user, epoch.
-- Gives {0, about it, incarnation, its clock}, or {1}: still learning, {2}: no node, {3}: all full, {4}: ended.
local user, epoch = ARGV[7], ARGV[8]
local meta = redis.call('HMGET', META, 'started', 'restarted')
local is_young = now - tonumber(meta[1]) < grace
keep()
if is_young and (meta[2] or redis.call('ZCARD', LEASES) == 0) then
    return { 1, false, false, false }
end
local ended = order(user)
if ended and epoch < ended.below then
    return { 4, false, false, false }
end

-- a * b in two parts that are exact for factors up to 2^32.
local function product(a, b)
    local low = (a % 65536) * b
    return math.floor(a / 65536) * b + math.floor(low / 65536), low % 65536
end

-- Whether one is filled to a smaller part than another; of equals the first by name.
local function is_before(name, node, other_name, other)
    local high, low = product(node.sessions + node.held, other.capacity)
    local other_high, other_low = product(other.sessions + other.held, node.capacity)
    if high ~= other_high then
        return high < other_high
    end
    if low ~= other_low then
        return low < other_low
    end
    return name < other_name
end

local is_open, best, chosen = false, nil, nil
local all = redis.call('HGETALL', STATE)
for at = 1, #all, 2 do
    local name, node = all[at], cmsgpack.unpack(all[at + 1])
    if not node.draining then
        is_open = true
        if expire(name, node) then
            save(name, node)
        end
        local has_room = node.sessions + node.held < node.capacity
        if has_room and (not best or is_before(name, node, chosen, best)) then
            best, chosen = node, name
        end
    end
end
if not best then
    return { is_open and 3 or 2, false, false, false }
end
hold(chosen, best, now + ttl)
save(chosen, best)
return { 0, redis.call('HGET', ABOUT, chosen), best.incarnation, text(clock(best)) }
