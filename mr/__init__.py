"""The mobile router: registers a care-of address per line with the home agent, spreads traffic over the lines."""
