"""The numbers by which Linux tells our objects from everybody else's: protocols, ids, tables, priorities, metrics.

Whoever changes one orphans what a running daemon of the old version has installed: nobody would find it any more.
"""

# Route and rule protocol (rtm_protocol). 208 and 209 are unassigned in iproute2's rt_protos.
HOME_AGENT_PROTOCOL, ROUTER_PROTOCOL = 208, 209

# Nexthop object ids.
HOME_AGENT_IDS = range(0x20000000, 0x30000000)
ROUTER_IDS = range(0x30000000, 0x30010000)

# Route tables. A line of a mobile router has the table ROUTER_TUNNELS + BID.
ROUTER_TUNNELS, ROUTER_DECAPSULATION, ROUTER_DECAPSULATION_OF_IPV4 = 41000, 41999, 40999
BID_MAX = ROUTER_DECAPSULATION - ROUTER_TUNNELS - 1

# Rule priorities, ascending in order of lookup; a mobile router's, for a home agent needs none. The kernel's own rule
# for local addresses moves from 0 to 100.
DECAPSULATION_RULE, OWN_ADDRESS_RULE, TO_NETWORK_RULE, FROM_NETWORK_RULE, CARE_OF_RULE = 0, 5, 10, 20, 30
LOCAL_RULE = 100

# A home agent once decapsulated by policy rules, tables and nexthop objects; whoever finds them removes them.
FORMER_DECAPSULATION_TABLES, FORMER_DECAPSULATION_IDS = (41000, 41001), HOME_AGENT_IDS[:2]

# Route metrics. The home address has its own, so that a dump tells it from a mobile network prefix of 128 bits.
EGRESS_METRIC = 512  # the second egress has 513, and so on
HOME_METRIC, NETWORK_METRIC = 1023, 1024
FIXED_METRIC = 1024
UNREACHABLE_METRIC = 5000

# 100::/64, which the Internet discards (RFC 6666): for addresses that never leave the machine.
DISCARD_ONLY = bytes.fromhex("0100000000000000")

IPV4_IN_IPV6, IPV6_IN_IPV6 = 4, 41  # next headers (RFC 2473)
TUNNEL_HOP_LIMIT = 64  # RFC 2473 6.3: that of a router's own packets; seg6 would copy the inner one
