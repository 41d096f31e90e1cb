-- What every step on the registry begins with. All keys have one hash tag. Times are us of the Redis's own clock, unless a
-- test tells another. Names, incarnations, epochs and users are texts; numbers stay below 2^53, where they are exact.
local META, LEASES, ABOUT, STATE, HELD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local DONE, ENDS, ORDERS = KEYS[6], KEYS[7], KEYS[8]
local now, lease, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local grace, kept, life = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
-- Reservations are counted in steps of this length; an entry is two numbers: until when, how many.
local STEP, ENTRY = 100000, 16

local function text(number)
    return string.format('%.0f', number)
end

if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end

-- Up to which order every node that holds a lease has ended the sessions.
local function done_by_all()
    return tonumber(redis.call('ZRANGE', DONE, 0, 0, 'WITHSCORES')[2] or 2 ^ 53)
end

local function remove(name)
    redis.call('ZREM', LEASES, name)
    redis.call('ZREM', DONE, name)
    redis.call('HDEL', ABOUT, name)
    redis.call('HDEL', STATE, name)
    redis.call('HDEL', HELD, name)
end

local function order(user)
    local known = redis.call('HGET', ORDERS, user)
    if known then
        local made, below = string.match(known, '^(%d+) (%d+)$')
        return { made = tonumber(made), below = below }
    end
end

local function drop(user)
    redis.call('ZREM', ENDS, user)
    redis.call('HDEL', ORDERS, user)
end

-- Forgets the leases and the orders whose time is over, counting those that nobody said goodbye to.
local function forget_lapsed()
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now))) do
        remove(name)
        redis.call('HINCRBY', META, 'lapsed', 1)
    end
    while true do
        local first = redis.call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')
        local user = first[1]
        local known = user and order(user)
        if not known or now - known.made < kept then
            return
        end
        if tonumber(first[2]) > done_by_all() then
            redis.call('HINCRBY', META, 'ends_lapsed', 1)
        end
        drop(user)
    end
end

local function load(name)
    local state = redis.call('HGET', STATE, name)
    return state and cmsgpack.unpack(state)
end

local function save(name, node)
    redis.call('HSET', STATE, name, cmsgpack.pack(node))
end

-- Puts a node's entries back, from a place in them on.
local function put_held(name, node, entries, at)
    if at > #entries then
        node.due = 0
        redis.call('HDEL', HELD, name)
    else
        node.due = struct.unpack('>d', entries, at)
        redis.call('HSET', HELD, name, string.sub(entries, at))
    end
end

-- So many logins have arrived: the oldest promises are kept.
local function settle(name, node, logins)
    if logins <= 0 or node.held == 0 then
        return
    end
    local entries, at = redis.call('HGET', HELD, name) or '', 1
    while logins > 0 and at <= #entries do
        local due, count = struct.unpack('>dd', entries, at)
        local met = math.min(logins, count)
        node.held, logins, at = node.held - met, logins - met, at + ENTRY
        if met < count then
            entries, at = struct.pack('>dd', due, count - met) .. string.sub(entries, at), 1
        end
    end
    put_held(name, node, entries, at)
end

-- Forgets the promises whose time is over. Whether there were any.
local function expire(name, node)
    if node.held == 0 or node.due > now then
        return false
    end
    local entries, at = redis.call('HGET', HELD, name) or '', 1
    while at <= #entries do
        local due, count = struct.unpack('>dd', entries, at)
        if due > now then
            break
        end
        node.held, at = node.held - count, at + ENTRY
    end
    put_held(name, node, entries, at)
    return true
end

-- Promises one place.
local function hold(name, node, due)
    local entries = redis.call('HGET', HELD, name) or ''
    local last = #entries - ENTRY + 1
    local last_due, count = 0, 0
    if last > 0 then
        last_due, count = struct.unpack('>dd', entries, last)
    end
    if last > 0 and due < last_due + STEP then
        entries = string.sub(entries, 1, last - 1) .. struct.pack('>dd', last_due, count + 1)
    else
        entries = entries .. struct.pack('>dd', due, 1)
    end
    node.held = node.held + 1
    put_held(name, node, entries, 1)
end

-- A node has told its load, from this argument on: sessions, connections, logins, clock in ms, whether it drains.
local function hear(name, node, at)
    local logins = tonumber(ARGV[at + 2])
    settle(name, node, logins - node.logins)
    node.sessions, node.connections = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    node.logins, node.mono = logins, tonumber(ARGV[at + 3])
    node.draining = node.draining or ARGV[at + 4] == '1'
    node.heard = now
    redis.call('ZADD', LEASES, text(now + lease), name)
end

-- The node's clock, in ms.
local function clock(node)
    return node.mono + math.floor(math.max(now - node.heard, 0) / 1000)
end

-- Nothing stays for ever if nobody comes any more.
local function keep()
    for _, key in ipairs(KEYS) do
        redis.call('PEXPIRE', key, life)
    end
end

redis.call('HSETNX', META, 'started', text(now))
forget_lapsed()
