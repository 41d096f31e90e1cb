-- No more logins for a start of a node. ARGV: name, incarnation; zero: whichever holds the lease. Gives 1 if it is known.
local name, incarnation = ARGV[7], ARGV[8]
local node = load(name)
if not node or (tonumber(incarnation) ~= 0 and node.incarnation ~= incarnation) then
    return 0
end
node.draining = true
save(name, node)
keep()
return 1
