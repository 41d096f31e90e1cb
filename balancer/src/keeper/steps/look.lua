-- Gives leases that lapsed, orders that lapsed, orders kept, and of every node: about it, sessions, connections, logins,
-- whether it drains, reservations, its clock in ms, what is left of its lease in ms.
local rows = {}
local leases = redis.call('ZRANGE', LEASES, 0, -1, 'WITHSCORES')
for at = 1, #leases, 2 do
    local name = leases[at]
    local node = load(name)
    rows[#rows + 1] = {
        redis.call('HGET', ABOUT, name), text(node.sessions), text(node.connections),
        text(node.logins), node.draining and 1 or 0, text(node.held), text(clock(node)),
        text(math.floor((tonumber(leases[at + 1]) - now) / 1000)),
    }
end
local meta = redis.call('HMGET', META, 'lapsed', 'ends_lapsed')
return { meta[1] or '0', meta[2] or '0', redis.call('ZCARD', ENDS), rows }
