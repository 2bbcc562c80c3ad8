"""The language: mobility headers on the wire, their authentication, and the sockets that carry them."""
