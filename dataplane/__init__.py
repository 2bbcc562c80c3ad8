"""The hands: tunnels, routes, rules and filters in Linux, for home agents and mobile routers."""
