-- A start of a node leaves. ARGV: name, incarnation. Gives 1 if it was known.
local node = load(ARGV[7])
if not node or node.incarnation ~= ARGV[8] then
    return 0
end
remove(ARGV[7])
keep()
return 1
